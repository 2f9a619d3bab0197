"""Tombstones: what was forgotten is known again when it comes back, without being kept.

A tombstone is a keyed hash (HMAC-SHA256) of a value and its scope: neither the text nor a plain hash of it, which could be found by trying
out guesses. The key goes where the ledger goes and nowhere else: a brain that imports another's tombstones takes over its key. Values are
compared in a normal form, so that case, spacing and punctuation bring nothing back. Deliberately removes nothing: that is
`purge.py`.
"""

import hashlib
import hmac
import json
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select

from seal_agent.errors import ForgottenError
from seal_agent.ledger.encoding import batches, encode_time, scope_parts
from seal_agent.ledger.schema import tombstone_key, tombstones
from seal_agent.types import Episode, Fact, ScopeId

FORGOTTEN_TURN = "[forgotten]"
"""Stands where a forgotten turn stood, so that the conversation around it keeps its order."""
KEY_BYTES = 32
FEWEST_WORDS = 3
"""A turn or sentence of fewer words and without a figure ("yes please") says nothing of its own: it may be said again."""

Kind = Literal["episode", "text"]
KEYS = select(tombstone_key.c.key).order_by(tombstone_key.c.id)


def value_of(text: str) -> str:
    """Return what two texts share that say the same in the same words: letters, marks and figures, case and width aside."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded)
    return " ".join(kept.split()) or folded.strip()


def is_telling(text: str) -> bool:
    """Whether a text says enough of its own to be refused wherever it turns up again."""
    value = value_of(text)
    return len(value.split()) >= FEWEST_WORDS or any(c.isdigit() for c in value)


def bury(conn: Connection, scope: ScopeId, texts: Iterable[str], at: datetime) -> None:
    """Remember that these texts were forgotten in this scope. Idempotent."""
    _insert(conn, "text", [_digest(_make_key(conn), "text", scope, value_of(text)) for text in texts], at)


def bury_episode(conn: Connection, episode: Episode, at: datetime) -> None:
    """Remember an episode by its id and, whatever its id, by its content, and the texts of its turns that are telling."""
    key = _make_key(conn)
    _insert(conn, "episode", [_digest(key, "episode", episode.scope, value) for value in _episode_values(episode)], at)
    bury(conn, episode.scope, [turn.content for turn in episode.turns if is_telling(turn.content)], at)


def bury_original(conn: Connection, episode: Episode, at: datetime) -> None:
    """Remember what an episode was before turns of it were cut, so that a retry or re-import of the original changes nothing."""
    _insert(conn, "episode", [_digest(_make_key(conn), "episode", episode.scope, _original(episode))], at)


def was_cut(conn: Connection, episode: Episode) -> bool:
    """Tell whether this is the original of an episode that was cut since."""
    return any(_known(conn, [_digest(key, "episode", episode.scope, _original(episode))]) for key in tombstone_keys(conn))


def is_buried(conn: Connection, scope: ScopeId, text: str) -> bool:
    """Tell whether the same text was forgotten in exactly this scope."""
    return bool(_known(conn, [_digest(key, "text", scope, value_of(text)) for key in tombstone_keys(conn)]))


def lift(conn: Connection, scope: ScopeId, text: str) -> bool:
    """Let a forgotten text be recorded again; return whether there was a tombstone."""
    digests = [_digest(key, "text", scope, value_of(text)) for key in tombstone_keys(conn)]
    return conn.execute(delete(tombstones).where(tombstones.c.digest.in_(digests))).rowcount > 0


def count_tombstones(conn: Connection) -> int:
    return int(conn.execute(select(func.count()).select_from(tombstones)).scalar_one())


def is_forgotten(conn: Connection, fact: Fact) -> bool:
    """Tell whether a fact's statement or quote was forgotten in its scope, under whatever id."""
    return is_buried(conn, fact.scope, fact.quote) or is_buried(conn, fact.scope, fact.text)


def refuse_forgotten(conn: Connection, fact: Fact) -> None:
    """Raise `ForgottenError` for a fact that was forgotten in its scope."""
    if is_forgotten(conn, fact):
        raise ForgottenError(
            f"This statement was forgotten in {fact.scope.key!r} and is not recorded again;"
            " allow it with scope.allow_again(text), or seal-agent forget --allow-again TEXT."
        )


def admit(conn: Connection, episode: Episode, keys: Sequence[bytes]) -> Episode:
    """Return the episode with its forgotten turns withheld; raise `ForgottenError` when nothing of what was said remains.

    A forgotten interaction is refused whole under its id, and under any other as long as all that it tells is: a greeting tells nothing.
    """
    if not keys:  # nothing was ever forgotten
        return episode
    buried = {place for place, turn in enumerate(episode.turns) if is_buried(conn, episode.scope, turn.content)}
    same_id, same_content = (
        bool(_known(conn, [_digest(key, "episode", episode.scope, value) for key in keys])) for value in _episode_values(episode)
    )
    telling = {place for place, turn in enumerate(episode.turns) if is_telling(turn.content)}
    if same_content and telling and telling <= buried:
        raise _still_forgotten(episode)
    if same_id and not (same_content and telling):
        raise ForgottenError(
            f"Episode {episode.id!r} was forgotten in {episode.scope.key!r} and is not recorded again; what is new needs another id."
        )
    episode = _without_buried_notes(conn, episode)
    if not buried:
        return episode
    turns = [replace(turn, content=FORGOTTEN_TURN) if place in buried else turn for place, turn in enumerate(episode.turns)]
    if all(turn.content == FORGOTTEN_TURN for turn in turns):
        raise _still_forgotten(episode)
    return replace(episode, turns=tuple(turns))


def _still_forgotten(episode: Episode) -> ForgottenError:
    return ForgottenError(
        f"What was said in episode {episode.id!r} was forgotten in {episode.scope.key!r} and is not recorded again;"
        " allow it with scope.allow_again(text), or seal-agent forget --allow-again TEXT."
    )


def _without_buried_notes(conn: Connection, episode: Episode) -> Episode:
    def is_kept(value: object) -> bool:
        return not (isinstance(value, str) and is_buried(conn, episode.scope, value))

    outcome = episode.outcome if is_kept(episode.outcome) else None
    metadata = {key: value for key, value in episode.metadata.items() if is_kept(value)}
    return episode if (outcome, metadata) == (episode.outcome, episode.metadata) else replace(episode, outcome=outcome, metadata=metadata)


def _original(episode: Episode) -> str:
    return "\n".join(("original", *_episode_values(episode)))


def _episode_values(episode: Episode) -> tuple[str, str]:
    content = [[turn.role, turn.name, value_of(turn.content)] for turn in episode.turns]
    return f"id:{episode.id}", json.dumps(content, ensure_ascii=False)


def _digest(key: bytes, kind: Kind, scope: ScopeId, value: str) -> str:
    message = json.dumps([kind, scope_parts(scope), value], ensure_ascii=False)
    return hmac.new(key, message.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def take_over(theirs: Connection, ours: Connection) -> int:
    """Take over the tombstones of another ledger, with the keys that they were made with; return how many are new here."""
    keys = tombstone_keys(ours)
    for key in tombstone_keys(theirs):
        if key not in keys:
            ours.execute(insert(tombstone_key), {"key": key})
    known = set(ours.execute(select(tombstones.c.digest)).scalars())
    new = [dict(row._mapping) for row in theirs.execute(select(tombstones)) if row.digest not in known]
    if new:
        ours.execute(insert(tombstones), new)
    return len(new)


def tombstone_keys(conn: Connection) -> list[bytes]:
    """This brain's own key first, then those of brains whose tombstones were imported."""
    return list(conn.execute(KEYS).scalars())


def _make_key(conn: Connection) -> bytes:
    keys = tombstone_keys(conn)
    if keys:
        return keys[0]
    key = secrets.token_bytes(KEY_BYTES)
    conn.execute(insert(tombstone_key), {"key": key})
    return key


def _known(conn: Connection, digests: list[str]) -> set[str]:
    found: set[str] = set()
    for batch in batches(digests):
        found |= set(conn.execute(select(tombstones.c.digest).where(tombstones.c.digest.in_(batch))).scalars())
    return found


def _insert(conn: Connection, kind: Kind, digests: list[str], at: datetime) -> None:
    new = list(dict.fromkeys(digests))
    known = _known(conn, new)
    rows = [{"digest": digest, "kind": kind, "at": encode_time(at)} for digest in new if digest not in known]
    if rows:
        conn.execute(insert(tombstones), rows)
