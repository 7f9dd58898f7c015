-- Calls: a room's mode, invites, webhooks and the queue of their deliveries.

ALTER TABLE rooms ADD COLUMN mode TEXT NOT NULL DEFAULT 'sfu' CHECK (mode IN ('sfu', 'p2p'));

CREATE TABLE invites (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    room       INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    label      TEXT NOT NULL,
    grants     TEXT NOT NULL, -- one a line
    locator    TEXT NOT NULL UNIQUE,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    uses_left  INTEGER CHECK (uses_left >= 0), -- NULL: as often as one likes
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX invites_by_room ON invites (room, id);
CREATE INDEX invites_by_owner ON invites (owner);
CREATE INDEX invites_by_expiry ON invites (expires_at);

CREATE TABLE webhooks (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    owner         INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    url           TEXT NOT NULL,
    events        TEXT NOT NULL, -- one a line
    secret_id     TEXT NOT NULL UNIQUE,
    sealed_secret BLOB NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_by_owner ON webhooks (owner, id);

-- One row for each event and endpoint. `attempts` counts those that began; `leased_until` is set while one is under way.
CREATE TABLE webhook_deliveries (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    owner        INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    webhook      INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    message      TEXT NOT NULL,
    event        TEXT NOT NULL,
    body         TEXT NOT NULL,
    state        TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER NOT NULL,
    leased_until INTEGER,
    outcome      TEXT NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    UNIQUE (webhook, message)
) STRICT;
CREATE INDEX webhook_deliveries_by_owner ON webhook_deliveries (owner);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (webhook, state, id);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
