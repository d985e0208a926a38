-- A file of schema version 1, as the version of this library that had that schema has written it.
PRAGMA application_id = 1165185908;
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
INSERT INTO "es_checkpoints" VALUES('noting',0,1,5,2,X'C38A7D9D04934C0B8B1EF1F85BBC894D','bank.v1.MoneyDeposited',NULL,0,NULL,NULL);
CREATE TABLE es_claims (
  tenant TEXT NOT NULL,
  constraint_name TEXT NOT NULL,
  key TEXT NOT NULL,
  stream INTEGER NOT NULL,
  PRIMARY KEY (tenant, constraint_name, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "es_claims" VALUES('','email','ada@example.org',3);
CREATE TABLE es_commands (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  payload_hash BLOB NOT NULL,
  kind INTEGER NOT NULL,
  stream_type TEXT NOT NULL,
  stream_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  response BLOB NOT NULL,
  UNIQUE (tenant, id)
) STRICT;
INSERT INTO "es_commands" VALUES('','c-1',X'0101010101010101010101010101010101010101010101010101010101010101',0,'bank.v1.Account','c',1,5,1795249282347210,7013477187334349831,X'646F6E65');
CREATE TABLE es_events (
  position INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  version INTEGER NOT NULL,
  type INTEGER NOT NULL,
  schema_version INTEGER NOT NULL,
  encoding INTEGER NOT NULL,
  commit_index INTEGER NOT NULL,
  commit_rest INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  metadata BLOB NOT NULL,
  payload BLOB NOT NULL,
  UNIQUE (stream, version)
) STRICT;
INSERT INTO "es_events" VALUES(1,1,1,1,1,0,0,0,1795249282345664,4407128298309296238,X'',X'0A0161');
INSERT INTO "es_events" VALUES(2,2,1,1,1,0,0,0,1795249282346581,-7569386401331537460,X'',X'0A0162');
INSERT INTO "es_events" VALUES(3,1,2,2,1,0,0,1,1795249282346911,-8528169151291621154,X'',X'0A01611005');
INSERT INTO "es_events" VALUES(4,2,2,2,1,0,1,0,1795249282346911,894295371872536389,X'',X'0A01621007');
INSERT INTO "es_events" VALUES(5,3,1,1,1,0,0,0,1795249282347210,-3407065646481244912,X'0A03632D313A180A05656D61696C120F616461406578616D706C652E6F7267',X'0A0163');
CREATE TABLE es_meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  store_id BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  forget_clock INTEGER NOT NULL
) STRICT;
INSERT INTO "es_meta" VALUES(1,X'C38A7D9D04934C0B8B1EF1F85BBC894D',0,1795249282346218);
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
CREATE TABLE es_scheduled (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  leased_until INTEGER,
  command_id TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  request BLOB NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT;
CREATE TABLE es_snapshots (
  stream INTEGER NOT NULL,
  fingerprint INTEGER NOT NULL,
  version INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (stream, fingerprint)
) STRICT;
CREATE TABLE es_streams (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  type TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  UNIQUE (tenant, aggregate_id, type)
) STRICT;
INSERT INTO "es_streams" VALUES(1,'','bank.v1.Account','a');
INSERT INTO "es_streams" VALUES(2,'','bank.v1.Account','b');
INSERT INTO "es_streams" VALUES(3,'','bank.v1.Account','c');
CREATE TABLE es_types (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "es_types" VALUES(1,'bank.v1.AccountOpened');
INSERT INTO "es_types" VALUES(2,'bank.v1.MoneyDeposited');
CREATE TRIGGER es_events_are_never_changed BEFORE UPDATE ON es_events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER es_events_are_never_deleted BEFORE DELETE ON es_events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE INDEX es_scheduled_due ON es_scheduled (due_at, tenant, key);
CREATE INDEX es_parked_by_aggregate ON es_parked (projection, kind, tenant, type, aggregate_id, position);
COMMIT;
