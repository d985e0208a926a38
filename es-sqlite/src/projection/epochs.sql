-- The epoch of the store in which a checkpoint was last moved.
ALTER TABLE es_checkpoints ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
