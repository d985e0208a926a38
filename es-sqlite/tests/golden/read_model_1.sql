-- A file of schema version 1, as the version of this library that had that schema has written it.
PRAGMA application_id = 1165185645;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE balance (account_id TEXT PRIMARY KEY, cents INTEGER NOT NULL) STRICT;
INSERT INTO "balance" VALUES('a',5);
INSERT INTO "balance" VALUES('b',7);
INSERT INTO "balance" VALUES('c',0);
CREATE TABLE es_checkpoints (
  name TEXT NOT NULL,
  partition INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  position INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  store_id BLOB NOT NULL,
  hooks TEXT NOT NULL,
  owner BLOB,
  leased_until INTEGER NOT NULL DEFAULT 0,
  sending_to INTEGER,
  sending_since INTEGER,
  PRIMARY KEY (name, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO "es_checkpoints" VALUES('balances',0,0,5,2,X'C38A7D9D04934C0B8B1EF1F85BBC894D','bank.v1.AccountOpened
bank.v1.MoneyDeposited',NULL,0,NULL,NULL);
CREATE TABLE es_migrations (
  projection TEXT NOT NULL,
  number INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  down TEXT,
  PRIMARY KEY (projection, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "es_migrations" VALUES('balances',1,2328311324935332156,NULL);
CREATE TABLE es_objects (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  projection TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "es_objects" VALUES('table','balance','balances');
CREATE TABLE es_parked (
  projection TEXT NOT NULL,
  kind INTEGER NOT NULL,
  position INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  type TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  error TEXT,
  attempts INTEGER NOT NULL,
  parked_at INTEGER NOT NULL,
  PRIMARY KEY (projection, kind, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX es_parked_by_aggregate ON es_parked (projection, kind, tenant, type, aggregate_id, position);
COMMIT;
