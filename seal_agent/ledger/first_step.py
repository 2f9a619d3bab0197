"""The first step of the schema: every table that a new ledger began with. Frozen; what became of them since is in `steps.py`."""

V1 = (
    """CREATE TABLE episodes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE CHECK (id <> ''),
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        session TEXT, at TEXT NOT NULL CHECK (length(at) = 32), source TEXT NOT NULL, outcome TEXT,
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        extracted_at TEXT CHECK (length(extracted_at) = 32))""",
    "CREATE INDEX episodes_by_scope ON episodes (scope_key, at, seq)",
    """CREATE TABLE cycles (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE CHECK (id <> ''),
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'promoted', 'rejected', 'skipped', 'failed')),
        seed INTEGER NOT NULL, started_at TEXT NOT NULL CHECK (length(started_at) = 32),
        ended_at TEXT CHECK (length(ended_at) = 32), reason TEXT, report TEXT,
        CHECK ((state = 'running') = (ended_at IS NULL)))""",
    "CREATE INDEX cycles_by_scope ON cycles (scope_key, seq)",
    "CREATE UNIQUE INDEX one_running_cycle_per_scope ON cycles (scope_key) WHERE state = 'running'",
    """CREATE TABLE adapters (
        name TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version >= 1), path TEXT NOT NULL,
        sha256 TEXT NOT NULL, base_id TEXT NOT NULL, parent TEXT REFERENCES adapters (name),
        state TEXT NOT NULL CHECK (state IN ('candidate', 'promoted', 'rejected', 'quarantined')),
        created_at TEXT NOT NULL CHECK (length(created_at) = 32), cycle_id TEXT NOT NULL REFERENCES cycles (id),
        UNIQUE (scope_key, version))""",
    """CREATE TABLE facts (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE CHECK (id <> ''),
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('preference', 'procedure', 'correction', 'profile', 'knowledge', 'event')),
        text TEXT NOT NULL CHECK (instr(text, char(0)) = 0), quote TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'queued', 'learned', 'not_learned', 'superseded', 'forgotten')),
        valid_from TEXT NOT NULL CHECK (length(valid_from) = 32), valid_to TEXT CHECK (length(valid_to) = 32),
        superseded_by TEXT REFERENCES facts (id) DEFERRABLE INITIALLY DEFERRED CHECK (superseded_by <> id),
        learned_by TEXT REFERENCES adapters (name) DEFERRABLE INITIALLY DEFERRED,
        probability REAL CHECK (probability BETWEEN 0 AND 1),
        recorded_at TEXT NOT NULL CHECK (length(recorded_at) = 32),
        CHECK (state <> 'learned' OR learned_by IS NOT NULL),
        CHECK (state <> 'forgotten' OR (text = '' AND quote = '')))""",
    "CREATE INDEX facts_by_scope ON facts (scope_key, state, seq)",
    """CREATE TABLE fact_sources (
        fact_id TEXT NOT NULL REFERENCES facts (id) ON DELETE CASCADE,
        episode_id TEXT NOT NULL REFERENCES episodes (id),
        turn INTEGER NOT NULL CHECK (turn >= 0), position INTEGER NOT NULL,
        PRIMARY KEY (fact_id, episode_id, turn))""",
    "CREATE INDEX fact_sources_by_episode ON fact_sources (episode_id)",
    """CREATE TABLE adapter_facts (
        adapter TEXT NOT NULL REFERENCES adapters (name) ON DELETE CASCADE,
        fact_id TEXT NOT NULL REFERENCES facts (id),
        position INTEGER NOT NULL,
        learned INTEGER CHECK (learned IN (0, 1)),
        probability REAL CHECK (probability BETWEEN 0 AND 1),
        PRIMARY KEY (adapter, fact_id))""",
    "CREATE INDEX adapter_facts_by_fact ON adapter_facts (fact_id)",
    """CREATE TABLE live (
        scope_key TEXT NOT NULL PRIMARY KEY,
        adapter TEXT REFERENCES adapters (name),
        changed_at TEXT NOT NULL CHECK (length(changed_at) = 32))""",
    """CREATE TABLE live_history (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        scope_key TEXT NOT NULL, adapter TEXT REFERENCES adapters (name),
        at TEXT NOT NULL CHECK (length(at) = 32), reason TEXT NOT NULL,
        back_to INTEGER REFERENCES live_history (seq), forward_to INTEGER REFERENCES live_history (seq))""",
    "CREATE INDEX live_history_by_scope ON live_history (scope_key, seq)",
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('turn', 'fact')),
        scope_key TEXT NOT NULL,
        episode_id TEXT REFERENCES episodes (id) ON DELETE CASCADE, turn INTEGER CHECK (turn >= 0),
        fact_id TEXT UNIQUE REFERENCES facts (id) ON DELETE CASCADE,
        role TEXT CHECK (role IN ('system', 'user', 'assistant', 'tool')), name TEXT,
        at TEXT NOT NULL CHECK (length(at) = 32), text TEXT NOT NULL CHECK (instr(text, char(0)) = 0),
        embedder TEXT, vector BLOB CHECK (length(vector) > 0 AND length(vector) % 4 = 0),
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        UNIQUE (episode_id, turn),
        CHECK ((embedder IS NULL) = (vector IS NULL)),
        CHECK ((kind = 'turn' AND episode_id IS NOT NULL AND turn IS NOT NULL AND role IS NOT NULL AND fact_id IS NULL)
            OR (kind = 'fact' AND episode_id IS NULL AND turn IS NULL AND role IS NULL AND name IS NULL AND fact_id IS NOT NULL)))""",
    "CREATE INDEX entries_by_embedder ON entries (embedder, scope_key)",
    "CREATE INDEX entries_by_scope ON entries (scope_key)",
    "CREATE VIRTUAL TABLE entries_fts USING fts5(text, content='entries', content_rowid='seq', tokenize='porter unicode61')",
    """CREATE TRIGGER entries_added AFTER INSERT ON entries BEGIN
        INSERT INTO entries_fts(rowid, text) VALUES (new.seq, new.text); END""",
    """CREATE TRIGGER entries_removed AFTER DELETE ON entries BEGIN
        INSERT INTO entries_fts(entries_fts, rowid, text) VALUES ('delete', old.seq, old.text); END""",
    """CREATE TRIGGER entries_changed AFTER UPDATE OF seq, text ON entries BEGIN
        INSERT INTO entries_fts(entries_fts, rowid, text) VALUES ('delete', old.seq, old.text);
        INSERT INTO entries_fts(rowid, text) VALUES (new.seq, new.text); END""",
    """CREATE TABLE generations (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        embedder TEXT NOT NULL, path TEXT NOT NULL, watermark INTEGER NOT NULL CHECK (watermark >= 0),
        state TEXT NOT NULL CHECK (state IN ('current', 'retired')))""",
    """CREATE TABLE tombstones (
        sha256 TEXT NOT NULL PRIMARY KEY CHECK (length(sha256) = 64),
        at TEXT NOT NULL CHECK (length(at) = 32),
        kind TEXT NOT NULL CHECK (kind IN ('episode', 'fact')))""",
)
