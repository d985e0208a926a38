-- What a file with read models keeps beside them; the store's own file has these tables too.

-- How far a projection has come, of which store, and the types of the events it has hooks for, one on each line.
-- The generation rises with each reset, with each new owner, and each time the hooks of an empty read model change.
-- An owner (a random number of its own) has the partition to itself until its lease is over, in microseconds.
-- A reactor notes here up to which position it is sending commands, and since when.
CREATE TABLE es_checkpoints (
  name TEXT NOT NULL,
  partition INTEGER NOT NULL,
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

-- The migrations that were applied, by the hash of their SQL.
CREATE TABLE es_migrations (
  projection TEXT NOT NULL,
  number INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  PRIMARY KEY (projection, number)
) STRICT, WITHOUT ROWID;

-- The tables, views, indexes and triggers those migrations made: what a reset drops.
CREATE TABLE es_objects (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  projection TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
