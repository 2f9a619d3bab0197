"""What practice has come to: the policy and the editor that a scope's nights write with, who writes recipes; and taking it back.

Needs the ledger alone. Deliberately knows nothing of rounds: what one found stands in its report.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from seal_agent.adapters.artefact import remove
from seal_agent.consolidation.editor import NAME, POLICY_NAME, RECIPES
from seal_agent.consolidation.policies import POLICY, Policy
from seal_agent.consolidation.practising import discard_notebook
from seal_agent.errors import UnknownRecordError
from seal_agent.ledger.adapters import get_adapter, withdraw_adapters
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.skills import Skill, SkillKind, attempts_of, drop_skill, find_skill
from seal_agent.types import Adapter, ScopeId

ROLES: tuple[tuple[SkillKind, str], ...] = (("policy", POLICY_NAME), ("editor", NAME), ("editor", RECIPES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Practised:
    """What nights of a scope write with, and `learn`; all of it None where nobody has practised here or in a shared scope above."""

    policy: Policy | None
    policy_scope: ScopeId | None
    """Where it was practised: this scope, or a shared one."""
    policy_at: datetime | None
    editor: str | None
    """Name of the adapter that writes, None for the base. A writer of its own writes in the stead of either."""
    editor_scope: ScopeId | None
    editor_at: datetime | None
    gain_before: float | None
    """Mean reward of the self-edits of whoever wrote before the editor, on the contexts that it was judged on; nats per token."""
    gain: float | None
    """The editor's."""
    recipe_editor: str | None
    """Name of the adapter that writes recipes for tasks, None for the base."""


def practised(ledger: Ledger, scope: ScopeId) -> Practised:
    """Look up what is in force."""
    with ledger.read() as conn:
        policy, editor, recipes = (find_skill(conn, scope, kind, name) for kind, name in ROLES)
    figures = {} if editor is None else json.loads(editor.record)
    return Practised(
        policy=None if policy is None else POLICY.validate_json(policy.record),
        policy_scope=None if policy is None else policy.scope,
        policy_at=None if policy is None else policy.at,
        editor=None if editor is None else editor.adapter,
        editor_scope=None if editor is None else editor.scope,
        editor_at=None if editor is None else editor.at,
        gain_before=figures.get("gain_untrained"),
        gain=figures.get("gain_trained"),
        recipe_editor=None if recipes is None else recipes.adapter,
    )


def drop(ledger: Ledger, scope: ScopeId) -> list[Adapter]:
    """Take back what was practised in exactly this scope, every round of it, with the notebook; return the editors that are gone.

    Nights write as the settings say again, or as a shared scope practised. Raise `UnknownRecordError` where nobody has practised.
    """
    with ledger.write() as conn:
        attempts: list[Skill] = [one for kind, name in ROLES for one in attempts_of(conn, scope, kind, name)]
        if not any(one.record != "{}" for one in attempts):
            raise UnknownRecordError(f"Nobody has practised in {scope.key!r}: there is nothing to take back.")
        editors = [get_adapter(conn, one.adapter) for one in attempts if one.adapter is not None]
        withdraw_adapters(conn, [editor.name for editor in editors])
        for kind, name in ROLES:
            drop_skill(conn, scope, kind, name)
    for editor in editors:
        remove(ledger.folder / editor.path)
    discard_notebook(ledger.folder)
    return editors
