-- What a file with read models keeps beside them; the store's own file has these tables too.

-- How far each partition of what follows the log has come, of which store, and what its read model is made from, one on each
-- line: the types of the events it has hooks for, and "only .." for what it is limited to.
-- The kind is 0 for a read model in this file, 1 for what has its effects elsewhere.
-- The generation rises with each reset, with each new owner, and each time the hooks of an empty read model change.
-- An owner (a random number of its own) has the partition to itself until its lease is over, in microseconds.
-- A reactor notes here up to which position it is sending commands, and since when.
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

-- The migrations that were applied, by the hash of their SQL, and the SQL that takes them back, if there is any.
CREATE TABLE es_migrations (
  projection TEXT NOT NULL,
  number INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  down TEXT,
  PRIMARY KEY (projection, number)
) STRICT, WITHOUT ROWID;

-- The tables, views, indexes and triggers those migrations made: what a reset drops.
CREATE TABLE es_objects (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  projection TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Events that a projection did not handle: parked until they are released (kind 0), or passed over (kind 1).
-- One without an error was never tried: it waits behind an earlier event of its aggregate, or was passed over on demand.
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
