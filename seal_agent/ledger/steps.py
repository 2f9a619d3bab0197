"""The steps of the schema, in order: frozen SQL that never changes once released. A new one goes at the end.

Deliberately only text: `migrations.py` applies it, and `schema.py` describes what it comes to.
"""

from collections.abc import Sequence

from seal_agent.ledger.first_step import V1


def _with_its_numbers(table: str) -> tuple[str, ...]:
    """Let `<table>_anew` take the table's place, and go on with its numbers: one that a watermark has passed is never given again."""
    return (
        f"DELETE FROM sqlite_sequence WHERE name = '{table}_anew'",
        f"INSERT INTO sqlite_sequence (name, seq) SELECT '{table}_anew', seq FROM sqlite_sequence WHERE name = '{table}'",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_anew RENAME TO {table}",
    )


API_KEYS = (
    """CREATE TABLE api_keys (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE CHECK (id <> ''), name TEXT NOT NULL,
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('reader', 'agent', 'operator')),
        any_user INTEGER NOT NULL CHECK (any_user IN (0, 1)),
        sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
        created_at TEXT NOT NULL CHECK (length(created_at) = 32),
        expires_at TEXT CHECK (length(expires_at) = 32), revoked_at TEXT CHECK (length(revoked_at) = 32),
        replaces TEXT REFERENCES api_keys (id))""",
)

FINDING = (
    "ALTER TABLE episodes ADD COLUMN metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata))",
    # One word that names the scope, so that the lexical index can leave out other scopes' entries before they cost anything.
    "ALTER TABLE entries ADD COLUMN scope_token TEXT GENERATED ALWAYS AS ('s' || hex(scope_key)) VIRTUAL",
    "CREATE INDEX entries_by_time ON entries (scope_key, at)",
    # How often something recorded earlier was changed or removed: what search keeps in memory is read anew when this has moved.
    """CREATE TABLE scope_changes (
        scope_key TEXT NOT NULL PRIMARY KEY,
        changes INTEGER NOT NULL CHECK (changes > 0))""",
    "DROP TRIGGER entries_added",
    "DROP TRIGGER entries_removed",
    "DROP TRIGGER entries_changed",
    "DROP TABLE entries_fts",
    """CREATE VIRTUAL TABLE entries_fts USING fts5(
        text, scope_token, content='entries', content_rowid='seq', tokenize='porter unicode61')""",
    "INSERT INTO entries_fts(entries_fts) VALUES ('rebuild')",
    """CREATE TRIGGER entries_added AFTER INSERT ON entries BEGIN
        INSERT INTO entries_fts(rowid, text, scope_token) VALUES (new.seq, new.text, new.scope_token); END""",
    """CREATE TRIGGER entries_removed AFTER DELETE ON entries BEGIN
        INSERT INTO entries_fts(entries_fts, rowid, text, scope_token) VALUES ('delete', old.seq, old.text, old.scope_token);
        INSERT INTO scope_changes VALUES (old.scope_key, 1) ON CONFLICT (scope_key) DO UPDATE SET changes = changes + 1; END""",
    """CREATE TRIGGER entries_changed AFTER UPDATE OF seq, text, scope_key ON entries BEGIN
        INSERT INTO entries_fts(entries_fts, rowid, text, scope_token) VALUES ('delete', old.seq, old.text, old.scope_token);
        INSERT INTO entries_fts(rowid, text, scope_token) VALUES (new.seq, new.text, new.scope_token); END""",
    """CREATE TRIGGER entries_altered AFTER UPDATE ON entries BEGIN
        INSERT INTO scope_changes VALUES (old.scope_key, 1) ON CONFLICT (scope_key) DO UPDATE SET changes = changes + 1; END""",
)

NIGHTS = (
    # A cycle that can be taken up again: what it works on, how far it came, how often it was begun.
    "ALTER TABLE cycles ADD COLUMN snapshot TEXT",
    "ALTER TABLE cycles ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1",
    """CREATE TABLE cycle_steps (
        cycle_id TEXT NOT NULL REFERENCES cycles (id) ON DELETE CASCADE,
        step TEXT NOT NULL CHECK (step <> ''),
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        at TEXT NOT NULL CHECK (length(at) = 32),
        PRIMARY KEY (cycle_id, step))""",
    """CREATE TABLE leases (
        scope_key TEXT NOT NULL PRIMARY KEY,
        token INTEGER NOT NULL CHECK (token >= 1),
        holder TEXT, expires_at TEXT CHECK (length(expires_at) = 32),
        CHECK ((holder IS NULL) = (expires_at IS NULL)))""",
    """CREATE TABLE nights (
        scope_key TEXT NOT NULL, date TEXT NOT NULL CHECK (length(date) = 10),
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT,
        state TEXT NOT NULL CHECK (state IN ('running', 'promoted', 'rejected', 'skipped', 'failed', 'missed')),
        attempts INTEGER NOT NULL, claimed_at TEXT NOT NULL CHECK (length(claimed_at) = 32),
        ended_at TEXT CHECK (length(ended_at) = 32), cycle_id TEXT REFERENCES cycles (id), reason TEXT,
        PRIMARY KEY (scope_key, date), CHECK ((state = 'running') = (ended_at IS NULL)))""",
    "CREATE INDEX nights_by_date ON nights (date)",
    "CREATE TABLE night_rounds (date TEXT NOT NULL PRIMARY KEY CHECK (length(date) = 10), at TEXT NOT NULL CHECK (length(at) = 32))",
    "CREATE TABLE night_pauses (scope_key TEXT NOT NULL PRIMARY KEY, since TEXT NOT NULL CHECK (length(since) = 32), note TEXT NOT NULL)",
    """CREATE TABLE feedback (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        answer_id TEXT NOT NULL UNIQUE CHECK (answer_id <> ''),
        scope_key TEXT NOT NULL, adapter TEXT REFERENCES adapters (name),
        verdict TEXT NOT NULL CHECK (verdict IN ('good', 'bad')), note TEXT NOT NULL,
        at TEXT NOT NULL CHECK (length(at) = 32))""",
    "CREATE INDEX feedback_by_adapter ON feedback (adapter, at)",
    """CREATE TABLE night_events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        scope_key TEXT NOT NULL, at TEXT NOT NULL CHECK (length(at) = 32),
        kind TEXT NOT NULL CHECK (kind <> ''), adapter TEXT, text TEXT NOT NULL)""",
)

ITEMS = (
    """CREATE TABLE items (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, texts TEXT NOT NULL,
        created_at TEXT NOT NULL CHECK (length(created_at) = 32), updated_at TEXT NOT NULL CHECK (length(updated_at) = 32),
        ttl_seconds REAL CHECK (ttl_seconds >= 0), expires_at TEXT CHECK (length(expires_at) = 32),
        UNIQUE (scope_key, namespace, key),
        CHECK ((ttl_seconds IS NULL) = (expires_at IS NULL)))""",
    "CREATE INDEX items_by_expiry ON items (scope_key, expires_at) WHERE expires_at IS NOT NULL",
    """CREATE TABLE item_vectors (
        item INTEGER NOT NULL REFERENCES items (seq) ON DELETE CASCADE,
        path TEXT NOT NULL, embedder TEXT NOT NULL CHECK (embedder <> ''),
        vector BLOB NOT NULL CHECK (length(vector) > 0 AND length(vector) % 4 = 0),
        PRIMARY KEY (item, path))""",
)

INDEX_GENERATIONS = (
    "ALTER TABLE generations RENAME TO former_generations",
    """CREATE TABLE generations (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        embedder TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('building', 'current', 'retired')))""",
    # Numbers are never used twice; the index itself is made anew from the vectors, with a watermark per scope.
    "INSERT INTO generations SELECT number, embedder, 'retired' FROM former_generations",
    "DROP TABLE former_generations",
    """CREATE TABLE generation_scopes (
        number INTEGER NOT NULL REFERENCES generations (number) ON DELETE CASCADE,
        scope_key TEXT NOT NULL, watermark INTEGER NOT NULL CHECK (watermark >= 0),
        PRIMARY KEY (number, scope_key))""",
    # Vectors of the next embedder, until all are there.
    """CREATE TABLE staged_vectors (
        seq INTEGER PRIMARY KEY REFERENCES entries (seq) ON DELETE CASCADE,
        embedder TEXT NOT NULL, vector BLOB NOT NULL CHECK (length(vector) > 0 AND length(vector) % 4 = 0))""",
)

FORGETTING = (
    # Facts can be rejected, expire and be pinned; one that was forgotten leaves no row. SQLite changes a CHECK by making the table anew.
    """CREATE TABLE facts_anew (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE CHECK (id <> ''),
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('preference', 'procedure', 'correction', 'profile', 'knowledge', 'event')),
        text TEXT NOT NULL CHECK (instr(text, char(0)) = 0), quote TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'queued', 'learned', 'not_learned', 'superseded', 'rejected', 'expired')),
        valid_from TEXT NOT NULL CHECK (length(valid_from) = 32), valid_to TEXT CHECK (length(valid_to) = 32),
        superseded_by TEXT REFERENCES facts (id) DEFERRABLE INITIALLY DEFERRED CHECK (superseded_by <> id),
        learned_by TEXT REFERENCES adapters (name) DEFERRABLE INITIALLY DEFERRED,
        probability REAL CHECK (probability BETWEEN 0 AND 1),
        recorded_at TEXT NOT NULL CHECK (length(recorded_at) = 32),
        pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
        CHECK (state <> 'learned' OR learned_by IS NOT NULL))""",
    "DELETE FROM adapter_facts WHERE fact_id IN (SELECT id FROM facts WHERE state = 'forgotten')",
    """INSERT INTO facts_anew (seq, id, tenant, agent, "user", scope_key, kind, text, quote, state, valid_from, valid_to, superseded_by,
            learned_by, probability, recorded_at)
        SELECT seq, id, tenant, agent, "user", scope_key, kind, text, quote, state, valid_from, valid_to,
            (SELECT n.id FROM facts AS n WHERE n.id = f.superseded_by AND n.state <> 'forgotten'), learned_by, probability, recorded_at
        FROM facts AS f WHERE state <> 'forgotten'""",
    "DROP TABLE facts",
    "ALTER TABLE facts_anew RENAME TO facts",
    "CREATE INDEX facts_by_scope ON facts (scope_key, state, seq)",
    "CREATE INDEX facts_by_end ON facts (valid_to) WHERE valid_to IS NOT NULL",
    """CREATE TABLE fact_events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        fact_id TEXT NOT NULL REFERENCES facts (id) ON DELETE CASCADE,
        at TEXT NOT NULL CHECK (length(at) = 32),
        change TEXT NOT NULL CHECK (change IN ('corrected', 'superseded', 'rejected', 'expired', 'pinned', 'unpinned', 'told_again')),
        note TEXT NOT NULL)""",
    "CREATE INDEX fact_events_by_fact ON fact_events (fact_id, seq)",
    # Keyed hashes instead of plain ones: nobody can try out guesses at what was forgotten without the key.
    "DROP TABLE tombstones",
    """CREATE TABLE tombstones (
        digest TEXT NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
        kind TEXT NOT NULL CHECK (kind IN ('episode', 'text')),
        at TEXT NOT NULL CHECK (length(at) = 32))""",
    "CREATE TABLE tombstone_key (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE CHECK (length(key) = 32))",
    # An erasure is noted together with the removal of its rows, so that a process that dies before the files are gone can finish it.
    """CREATE TABLE erasures (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE, at TEXT NOT NULL CHECK (length(at) = 32), done_at TEXT CHECK (length(done_at) = 32),
        adapters TEXT NOT NULL, counts TEXT NOT NULL)""",
)

IDS_PER_SCOPE = (
    # Ids that callers give, "order-1", are theirs: unique within a scope, so that two tenants neither collide nor learn of one another.
    """CREATE TABLE episodes_anew (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL CHECK (id <> ''),
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        session TEXT, at TEXT NOT NULL CHECK (length(at) = 32), source TEXT NOT NULL, outcome TEXT,
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        extracted_at TEXT CHECK (length(extracted_at) = 32),
        metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
        UNIQUE (scope_key, id))""",
    """INSERT INTO episodes_anew
        SELECT seq, id, tenant, agent, "user", scope_key, session, at, source, outcome, sha256, extracted_at, metadata FROM episodes""",
    *_with_its_numbers("episodes"),
    "CREATE INDEX episodes_by_scope ON episodes (scope_key, at, seq)",
    """CREATE TABLE entries_anew (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('turn', 'fact')),
        scope_key TEXT NOT NULL,
        episode_id TEXT, turn INTEGER CHECK (turn >= 0),
        fact_id TEXT UNIQUE REFERENCES facts (id) ON DELETE CASCADE,
        role TEXT CHECK (role IN ('system', 'user', 'assistant', 'tool')), name TEXT,
        at TEXT NOT NULL CHECK (length(at) = 32), text TEXT NOT NULL CHECK (instr(text, char(0)) = 0),
        embedder TEXT, vector BLOB CHECK (length(vector) > 0 AND length(vector) % 4 = 0),
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        scope_token TEXT GENERATED ALWAYS AS ('s' || hex(scope_key)) VIRTUAL,
        UNIQUE (scope_key, id),
        UNIQUE (scope_key, episode_id, turn),
        FOREIGN KEY (scope_key, episode_id) REFERENCES episodes (scope_key, id) ON DELETE CASCADE,
        CHECK ((embedder IS NULL) = (vector IS NULL)),
        CHECK ((kind = 'turn' AND episode_id IS NOT NULL AND turn IS NOT NULL AND role IS NOT NULL AND fact_id IS NULL)
            OR (kind = 'fact' AND episode_id IS NULL AND turn IS NULL AND role IS NULL AND name IS NULL AND fact_id IS NOT NULL)))""",
    """INSERT INTO entries_anew (seq, id, kind, scope_key, episode_id, turn, fact_id, role, name, at, text, embedder, vector, sha256)
        SELECT seq, id, kind, scope_key, episode_id, turn, fact_id, role, name, at, text, embedder, vector, sha256 FROM entries""",
    *_with_its_numbers("entries"),
    "CREATE INDEX entries_by_embedder ON entries (embedder, scope_key)",
    "CREATE INDEX entries_by_scope ON entries (scope_key)",
    "CREATE INDEX entries_by_time ON entries (scope_key, at)",
    *FINDING[-4:],
    """CREATE TABLE fact_sources_anew (
        fact_id TEXT NOT NULL REFERENCES facts (id) ON DELETE CASCADE,
        scope_key TEXT NOT NULL, episode_id TEXT NOT NULL,
        turn INTEGER NOT NULL CHECK (turn >= 0), position INTEGER NOT NULL,
        PRIMARY KEY (fact_id, episode_id, turn),
        FOREIGN KEY (scope_key, episode_id) REFERENCES episodes (scope_key, id))""",
    """INSERT INTO fact_sources_anew SELECT s.fact_id, f.scope_key, s.episode_id, s.turn, s.position
        FROM fact_sources AS s JOIN facts AS f ON f.id = s.fact_id""",
    "DROP TABLE fact_sources",
    "ALTER TABLE fact_sources_anew RENAME TO fact_sources",
    "CREATE INDEX fact_sources_by_episode ON fact_sources (scope_key, episode_id)",
)

SKILLS = (
    # What a scope can do beside answering: tasks learnt from demonstrations, the editor that writes self-edits, the policy that won.
    """CREATE TABLE skills (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL, agent TEXT, "user" TEXT, scope_key TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('task', 'editor', 'policy')), name TEXT NOT NULL CHECK (name <> ''),
        adapter TEXT REFERENCES adapters (name) DEFERRABLE INITIALLY DEFERRED,
        cycle_id TEXT NOT NULL REFERENCES cycles (id) DEFERRABLE INITIALLY DEFERRED,
        verdict TEXT NOT NULL CHECK (verdict IN ('promote', 'reject')),
        record TEXT NOT NULL, at TEXT NOT NULL CHECK (length(at) = 32))""",
    "CREATE INDEX skills_by_name ON skills (scope_key, kind, name, seq)",
)

MIGRATIONS: tuple[Sequence[str], ...] = (V1, API_KEYS, FINDING, NIGHTS, ITEMS, INDEX_GENERATIONS, FORGETTING, IDS_PER_SCOPE, SKILLS)
"""Step n brings a database from `user_version` n to n + 1."""
