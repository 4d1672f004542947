-- What was written down before it was done, and by whose word, in one chain: each hash is that of the row and of the hash
-- before it. Retention leaves it alone.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    text   TEXT    NOT NULL,
    hash   TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_name ON audit (kind, name);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;
