-- Accounts, rooms and credentials.
--
-- Every record names its owner, an account; an account is its own. Times are microseconds since 1970, UTC.
-- AUTOINCREMENT where a number leaves the store: a number that was given out is never given out again.

CREATE TABLE accounts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('admin', 'member')),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE principals (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('account', 'identity', 'ingest')),
    created_at INTEGER NOT NULL,
    UNIQUE (issuer, subject, kind)
) STRICT;

CREATE TABLE rooms (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    owner         INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name          TEXT NOT NULL UNIQUE,
    title         TEXT NOT NULL,
    open          INTEGER NOT NULL CHECK (open IN (0, 1)),
    embed_origins TEXT NOT NULL DEFAULT '', -- one a line
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX rooms_by_owner ON rooms (owner, id);

-- Bearer secrets are found by their public part and compared by hash; the secret itself is nowhere.
CREATE TABLE stream_keys (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    owner        INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    room         INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    label        TEXT NOT NULL,
    hint         TEXT NOT NULL,
    locator      TEXT NOT NULL UNIQUE,
    hash         BLOB NOT NULL CHECK (length(hash) = 32),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX stream_keys_by_room ON stream_keys (room, id);
CREATE INDEX stream_keys_by_owner ON stream_keys (owner);

CREATE TABLE sign_in_codes (
    id         INTEGER PRIMARY KEY,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    locator    TEXT NOT NULL UNIQUE,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_codes_by_owner ON sign_in_codes (owner, id);

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    locator    TEXT NOT NULL UNIQUE,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_owner ON sessions (owner, id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    locator    TEXT NOT NULL UNIQUE,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX api_tokens_by_owner ON api_tokens (owner, id);
CREATE INDEX api_tokens_by_expiry ON api_tokens (expires_at);

CREATE TABLE api_keys (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    owner         INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    label         TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER
) STRICT;
CREATE INDEX api_keys_by_owner ON api_keys (owner, number);

CREATE TABLE denied_jti (
    issuer     TEXT NOT NULL,
    jti        TEXT NOT NULL,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX denied_jti_by_expiry ON denied_jti (expires_at);

-- What happened, written in the transaction that made it happen. The owner may be gone when it is read.
CREATE TABLE outbox (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    room  TEXT NOT NULL,
    at    INTEGER NOT NULL
) STRICT;
