-- SAEs, and the model that each is attached to. `path` is where it is under `root`, as its format calls it; `details` say
-- how it is attached and how that was tested. The same as in ../postgres/0003_saes.sql.

CREATE TABLE saes (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    format TEXT NOT NULL,
    model TEXT,
    hook_point TEXT,
    details TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((model IS NULL) = (hook_point IS NULL) AND (model IS NULL) = (details IS NULL))
) STRICT;
