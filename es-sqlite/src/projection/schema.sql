-- What a file with read models keeps beside them; the store's own file has these tables too.

-- How far a projection has come, of which store. The generation rises with each reset.
CREATE TABLE es_checkpoints (
  name TEXT NOT NULL,
  partition INTEGER NOT NULL,
  position INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  store_id BLOB NOT NULL,
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
