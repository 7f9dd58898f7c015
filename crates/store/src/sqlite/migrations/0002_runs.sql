-- Runs of servers. AUTOINCREMENT, so that a run's number is never given out again; only the newest row is kept.

CREATE TABLE runs (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    began_at INTEGER NOT NULL
) STRICT;
