-- The store's own tables. Nothing outside this crate writes to them, and events are never changed.

-- One row: which store this is, in which epoch (0 until it is restored), and the clock by which answers to commands grow old.
CREATE TABLE es_meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  store_id BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  forget_clock INTEGER NOT NULL
) STRICT;

-- Names are stored once; events carry small integers. An empty tenant is no tenant.
CREATE TABLE es_streams (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  type TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  UNIQUE (tenant, aggregate_id, type)
) STRICT;

CREATE TABLE es_types (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- The log. Positions are dense and given out by the writer inside its transaction, never by the database.
-- commit_index and commit_rest count the events of the same commit before and after this one.
-- Large columns come last, so that the small ones are read without their overflow pages.
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

CREATE TRIGGER es_events_are_never_changed BEFORE UPDATE ON es_events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

CREATE TRIGGER es_events_are_never_deleted BEFORE DELETE ON es_events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

-- What each command was answered. In order of rowid they are in order of time.
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

-- Who holds which unique key.
CREATE TABLE es_claims (
  tenant TEXT NOT NULL,
  constraint_name TEXT NOT NULL,
  key TEXT NOT NULL,
  stream INTEGER NOT NULL,
  PRIMARY KEY (tenant, constraint_name, key)
) STRICT, WITHOUT ROWID;

-- A cache: any row may be deleted at any time.
CREATE TABLE es_snapshots (
  stream INTEGER NOT NULL,
  fingerprint INTEGER NOT NULL,
  version INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (stream, fingerprint)
) STRICT;

-- Commands to be sent later. leased_until: until then somebody else is sending it.
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

CREATE INDEX es_scheduled_due ON es_scheduled (due_at, tenant, key);
