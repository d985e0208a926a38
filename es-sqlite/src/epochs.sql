-- The epochs that restores have begun, and the position of the last event when each began.
CREATE TABLE es_epochs (
  epoch INTEGER PRIMARY KEY,
  began_after INTEGER NOT NULL
) STRICT;
