-- Uploads, assets and the work on them. Bytes lie in blobs whose names stand here; a row that names a blob is committed after
-- the blob is on disk, and a blob that no row names is swept.

CREATE TABLE assets (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE, -- what addresses say: random, so that nobody counts them
    owner         INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    title         TEXT NOT NULL,
    open          INTEGER NOT NULL DEFAULT 0 CHECK (open IN (0, 1)),
    embed_origins TEXT NOT NULL DEFAULT '', -- one a line
    state         TEXT NOT NULL DEFAULT 'processing' CHECK (state IN ('processing', 'ready', 'failed')),
    source        TEXT NOT NULL UNIQUE,
    source_len    INTEGER NOT NULL CHECK (source_len >= 0),
    facts         TEXT NOT NULL DEFAULT '',
    problem       TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    ready_at      INTEGER,
    updated_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX assets_by_owner ON assets (owner, id);

-- What is being uploaded, and the parts of a concatenation. `asset` once the last byte was acknowledged.
CREATE TABLE uploads (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    blob       TEXT NOT NULL UNIQUE,
    len        INTEGER CHECK (len >= 0),             -- NULL: not told yet
    stored     INTEGER NOT NULL CHECK (stored >= 0), -- acknowledged, and on disk
    metadata   TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('whole', 'part', 'final')),
    parts      TEXT NOT NULL DEFAULT '',             -- one a line
    asset      INTEGER REFERENCES assets (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK (len IS NULL OR stored <= len)
) STRICT;
CREATE INDEX uploads_by_owner ON uploads (owner, id);
CREATE INDEX uploads_by_asset ON uploads (asset);
CREATE INDEX uploads_by_expiry ON uploads (expires_at);

-- src/job.rs says which rows may follow which.
CREATE TABLE jobs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    asset      INTEGER NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('probe', 'first', 'more', 'images')),
    class      INTEGER NOT NULL CHECK (class BETWEEN 0 AND 2),
    work       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('blocked', 'ready', 'leased', 'done', 'failed', 'cancelled')),
    blockers   INTEGER NOT NULL DEFAULT 0 CHECK (blockers >= 0 AND (blockers > 0) = (state = 'blocked')),
    due_at     INTEGER NOT NULL, -- ready: from then on; leased: until then
    attempts   INTEGER NOT NULL DEFAULT 0,
    failures   INTEGER NOT NULL DEFAULT 0,
    progress   INTEGER NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 10000), -- of 10,000
    problem    TEXT NOT NULL DEFAULT '',
    wanted_at  INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_owner ON jobs (owner);
CREATE INDEX jobs_by_asset ON jobs (asset, id);
CREATE INDEX jobs_waiting ON jobs (class, owner, wanted_at, id) WHERE state = 'ready';
CREATE INDEX jobs_leased ON jobs (due_at) WHERE state = 'leased';

-- `job` waits for `blocker`.
CREATE TABLE job_blockers (
    job     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    blocker INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (job, blocker)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_blockers_by_blocker ON job_blockers (blocker);

-- What each attempt said, kept for people.
CREATE TABLE job_attempts (
    job      INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt  INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome  TEXT NOT NULL DEFAULT '',
    log      TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

-- What attempts have committed: one row a rendition.
CREATE TABLE renditions (
    asset         INTEGER NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    blob          TEXT NOT NULL UNIQUE,
    len           INTEGER NOT NULL CHECK (len >= 0),
    facts         TEXT NOT NULL,
    segment_index BLOB NOT NULL,
    committed_at  INTEGER NOT NULL,
    PRIMARY KEY (asset, name)
) STRICT, WITHOUT ROWID;

-- Events are about assets and jobs as well: whatever the kind says.
ALTER TABLE outbox RENAME COLUMN room TO subject;
