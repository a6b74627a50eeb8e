-- Times are milliseconds since 1970 (UTC), booleans are 0 or 1, JSON is text. The same tables as in
-- ../sqlite/0001_initial.sql; a file that was released is never edited. Keys compare by their bytes, as SQLite's do.

CREATE TABLE models (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    local_path TEXT COLLATE "C" NOT NULL UNIQUE,
    locked BIGINT NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)),
    wanted BIGINT NOT NULL DEFAULT 0 CHECK (wanted IN (0, 1)),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE plugins (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    updated_at BIGINT NOT NULL
);

CREATE TABLE plugin_trust (
    sha256 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    path TEXT NOT NULL,
    trusted_by TEXT NOT NULL,
    trusted_at BIGINT NOT NULL
);

CREATE TABLE operations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    target_type TEXT COLLATE "C" NOT NULL,
    target_id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    result TEXT,
    error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT
);

-- One target has one operation at a time.
CREATE UNIQUE INDEX operations_unfinished ON operations (target_type, target_id)
    WHERE status IN ('queued', 'running');

CREATE TABLE settings (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Numbers of rows are never used twice.
CREATE TABLE audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    details TEXT NOT NULL,
    request_id TEXT
);
