"""Whose memory it is."""

import unicodedata
from dataclasses import dataclass

from seal_agent.errors import InvalidScopeError

MAX_ID_LENGTH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeId:
    """Whose memory it is. `user=None` is the agent's shared scope, `agent=None` the tenant's."""

    tenant: str = "default"
    agent: str | None = "default"
    user: str | None = None

    def __post_init__(self) -> None:
        if self.agent is None and self.user is not None:
            raise InvalidScopeError(f"A user's scope needs an agent: got user={self.user!r} with agent=None.")
        for label, value in (("tenant", self.tenant), ("agent", self.agent), ("user", self.user)):
            if value is not None or label == "tenant":  # without a tenant, the key would be that of another scope
                check_id(label, value)

    @property
    def key(self) -> str:
        """The scope as one string, `tenant/agent/user`; `/` can't occur in an id, so no two scopes share a key."""
        return "/".join(part for part in (self.tenant, self.agent, self.user) if part is not None)

    @classmethod
    def of(cls, key: str) -> "ScopeId":
        """Return the scope whose `key` this is."""
        tenant, agent, user = (*key.split("/"), None, None)[:3]
        return cls(tenant=tenant or "", agent=agent, user=user)

    @property
    def subject(self) -> str:
        """How facts of this scope name the person they are about."""
        if self.user is None:
            return "The customer"
        words = self.user.replace("_", " ").replace("-", " ").replace(".", " ").split()
        return " ".join(word[:1].upper() + word[1:] for word in words) or self.user

    @property
    def ancestors(self) -> tuple["ScopeId", ...]:
        """The scopes whose shared facts this one may see, nearest first, without itself."""
        shared: list[ScopeId] = []
        if self.user is not None:
            shared.append(ScopeId(tenant=self.tenant, agent=self.agent))
        if self.agent is not None:
            shared.append(ScopeId(tenant=self.tenant, agent=None))
        return tuple(shared)


def check_id(label: str, value: str | None) -> None:
    """Refuse ids that look alike, escape a path or can't be stored; raise `InvalidScopeError`."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidScopeError(f"{label}={value!r} is not an id: give a non-empty string.")
    if len(value) > MAX_ID_LENGTH:
        raise InvalidScopeError(f"{label} is {len(value)} characters long; at most {MAX_ID_LENGTH} are allowed.")
    if unicodedata.normalize("NFKC", value) != value:
        raise InvalidScopeError(
            f"{label}={value!r} is not in Unicode normal form NFKC; normalise it first, so that no two scopes look alike."
        )
    if value in {".", ".."} or any(c in "/\\" or unicodedata.category(c)[0] == "C" for c in value) or value != value.strip():
        raise InvalidScopeError(
            f"{label}={value!r} holds a slash, a control character or surrounding white space; use letters, digits and . _ - @ : instead."
        )
