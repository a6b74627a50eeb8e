-- What models do about the BOS token of their prompts. The same as in ../postgres/0002_prepend_bos.sql.

ALTER TABLE models ADD COLUMN prepend_bos TEXT NOT NULL DEFAULT 'auto'
    CHECK (prepend_bos IN ('auto', 'never', 'always'));
