"""The tables as they are today, for queries. `migrations.py` is what creates them; a test holds the two together.

Constraints are declared in the migrations only: written twice, they would come to differ.
"""

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()


def _scope_columns() -> tuple[Column[str], ...]:
    return (
        Column("tenant", Text, nullable=False),
        Column("agent", Text),
        Column("user", Text),
        Column("scope_key", Text, nullable=False),
    )


episodes = Table(
    "episodes",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    *_scope_columns(),
    Column("session", Text),
    Column("at", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("outcome", Text),
    Column("sha256", Text, nullable=False),
    Column("extracted_at", Text),
    Column("metadata", Text),
)

entries = Table(
    "entries",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("scope_key", Text, nullable=False),
    Column("episode_id", Text),
    Column("turn", Integer),
    Column("fact_id", Text),
    Column("role", Text),
    Column("name", Text),
    Column("at", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("embedder", Text),
    Column("vector", LargeBinary),
    Column("sha256", Text, nullable=False),
)

scope_changes = Table(
    "scope_changes",
    metadata,
    Column("scope_key", Text, primary_key=True),
    Column("changes", Integer, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    *_scope_columns(),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("valid_from", Text, nullable=False),
    Column("valid_to", Text),
    Column("superseded_by", Text),
    Column("learned_by", Text),
    Column("probability", Float),
    Column("recorded_at", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
)

fact_events = Table(
    "fact_events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("fact_id", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("note", Text, nullable=False),
)

fact_sources = Table(
    "fact_sources",
    metadata,
    Column("fact_id", Text, primary_key=True),
    Column("scope_key", Text, nullable=False),
    Column("episode_id", Text, primary_key=True),
    Column("turn", Integer, primary_key=True),
    Column("position", Integer, nullable=False),
)

cycles = Table(
    "cycles",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    *_scope_columns(),
    Column("state", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("reason", Text),
    Column("report", Text),
    Column("snapshot", Text),
    Column("attempts", Integer, nullable=False),
)

cycle_steps = Table(
    "cycle_steps",
    metadata,
    Column("cycle_id", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("at", Text, nullable=False),
)

adapters = Table(
    "adapters",
    metadata,
    Column("name", Text, primary_key=True),
    *_scope_columns(),
    Column("version", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("base_id", Text, nullable=False),
    Column("parent", Text),
    Column("state", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("cycle_id", Text, nullable=False),
)

adapter_facts = Table(
    "adapter_facts",
    metadata,
    Column("adapter", Text, primary_key=True),
    Column("fact_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("learned", Boolean),
    Column("probability", Float),
)

live = Table(
    "live",
    metadata,
    Column("scope_key", Text, primary_key=True),
    Column("adapter", Text),
    Column("changed_at", Text, nullable=False),
)

live_history = Table(
    "live_history",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("scope_key", Text, nullable=False),
    Column("adapter", Text),
    Column("at", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("back_to", Integer),
    Column("forward_to", Integer),
)

generations = Table(
    "generations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("embedder", Text, nullable=False),
    Column("state", Text, nullable=False),
)

generation_scopes = Table(
    "generation_scopes",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("scope_key", Text, primary_key=True),
    Column("watermark", Integer, nullable=False),
)

staged_vectors = Table(
    "staged_vectors",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("embedder", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),
)

tombstone_key = Table(
    "tombstone_key",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("done_at", Text),
    Column("adapters", Text, nullable=False),
    Column("counts", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    *_scope_columns(),
    Column("role", Text, nullable=False),
    Column("any_user", Boolean, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text),
    Column("revoked_at", Text),
    Column("replaces", Text),
)

leases = Table(
    "leases",
    metadata,
    Column("scope_key", Text, primary_key=True),
    Column("token", Integer, nullable=False),
    Column("holder", Text),
    Column("expires_at", Text),
)

nights = Table(
    "nights",
    metadata,
    Column("scope_key", Text, primary_key=True),
    Column("date", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("agent", Text),
    Column("user", Text),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("cycle_id", Text),
    Column("reason", Text),
)

night_rounds = Table(
    "night_rounds",
    metadata,
    Column("date", Text, primary_key=True),
    Column("at", Text, nullable=False),
)

night_pauses = Table(
    "night_pauses",
    metadata,
    Column("scope_key", Text, primary_key=True),
    Column("since", Text, nullable=False),
    Column("note", Text, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("answer_id", Text, nullable=False),
    Column("scope_key", Text, nullable=False),
    Column("adapter", Text),
    Column("verdict", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Text, nullable=False),
)

night_events = Table(
    "night_events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("scope_key", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("adapter", Text),
    Column("text", Text, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("seq", Integer, primary_key=True),
    *_scope_columns(),
    Column("namespace", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("texts", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("ttl_seconds", Float),
    Column("expires_at", Text),
)

item_vectors = Table(
    "item_vectors",
    metadata,
    Column("item", Integer, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("embedder", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)

skills = Table(
    "skills",
    metadata,
    Column("seq", Integer, primary_key=True),
    *_scope_columns(),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("adapter", Text),
    Column("cycle_id", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("at", Text, nullable=False),
)
