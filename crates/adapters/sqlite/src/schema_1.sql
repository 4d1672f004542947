-- What is asked for often stands in columns; the document is the truth. Times are nanoseconds since 1970.
CREATE TABLE records (
    kind      TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    time      INTEGER NOT NULL,
    workload  TEXT,
    namespace TEXT,
    status    TEXT,
    incident  TEXT,
    closed    INTEGER NOT NULL CHECK (closed IN (0, 1)),
    document  TEXT    NOT NULL CHECK (json_valid(document)),
    PRIMARY KEY (kind, id)
) STRICT;
CREATE INDEX records_time ON records (kind, time, id);
CREATE INDEX records_workload ON records (kind, workload, time, id);
CREATE INDEX records_namespace ON records (kind, namespace, time, id);
CREATE INDEX records_status ON records (kind, status, time, id);
CREATE INDEX records_incident ON records (kind, incident, time, id) WHERE incident IS NOT NULL;
CREATE INDEX records_closed ON records (time) WHERE closed = 1;

-- `opening` counts up and is never used again: the order in which sagas were opened.
CREATE TABLE sagas (
    opening   INTEGER PRIMARY KEY AUTOINCREMENT,
    saga      TEXT    NOT NULL UNIQUE,
    outcome   TEXT,
    closed_at INTEGER
) STRICT;
CREATE INDEX sagas_unfinished ON sagas (opening) WHERE outcome IS NULL OR outcome = 'Stuck';
CREATE INDEX sagas_closed ON sagas (closed_at) WHERE outcome <> 'Stuck';

CREATE TABLE journal (
    saga     TEXT    NOT NULL REFERENCES sagas (saga) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    entry    TEXT    NOT NULL CHECK (json_valid(entry)),
    PRIMARY KEY (saga, sequence)
) STRICT;

CREATE TABLE locks (
    object TEXT PRIMARY KEY,
    saga   TEXT NOT NULL REFERENCES sagas (saga) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX locks_saga ON locks (saga);

-- The newest leader that wrote; one row. It outlives the sagas that retention removes.
CREATE TABLE newest_epoch (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO newest_epoch VALUES (1, 0);

-- "KubW": tells our files from other SQLite databases.
PRAGMA application_id = 1265984087;
