"""Whose memory a request may use, from its credential alone: nothing else in a request can widen it.

A key opens one scope. A request may name a user (`Seal-User`, or OpenAI's `user`) only where the key was made for any user of its agent,
or to repeat the key's own user. Deliberately knows no framework.
"""

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import get_args

from seal_agent.api_keys import ApiKey, ApiKeys, KeyRole
from seal_agent.errors import InvalidScopeError
from seal_agent.server.refusals import Refusal, bad_request
from seal_agent.types import ScopeId

BEARER = "bearer"
LOCAL = "local"
"""The id that requests have in logs and limits where no keys are used."""
RANK: dict[KeyRole, int] = {role: rank for rank, role in enumerate(get_args(KeyRole))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Who asks, and what they may."""

    key_id: str
    scope: ScopeId
    role: KeyRole
    any_user: bool

    def check_role(self, needed: KeyRole) -> None:
        """Raise a 403 for a role that may not do this."""
        if RANK[self.role] < RANK[needed]:
            raise Refusal(HTTPStatus.FORBIDDEN, f"This key is a {self.role}'s; this needs the role {needed!r}.", code="role_required")

    def scope_for(self, user: str | None) -> ScopeId:
        """Return the scope of this credential, or of a user that it may act for; raise a 403 for anybody else."""
        if user is None or user == self.scope.user:
            return self.scope
        if not self.any_user:
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                f"This key opens the memory of {self.scope.key!r} only, not that of another user; make one with keys create --any-user.",
                code="other_scope",
                param="user",
            )
        try:
            return replace(self.scope, user=user)
        except InvalidScopeError as error:
            raise bad_request(str(error), code="invalid_user", param="user") from error


class Doorkeeper:
    """Turns an Authorization header into a credential."""

    def __init__(self, keys: ApiKeys, local: ScopeId | None) -> None:
        """`local` is the scope of requests without a key; None, and everybody needs one."""
        self._keys = keys
        self._local = local

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a key, so that `admit` looks nowhere."""
        return self._local is not None

    def admit(self, authorization: str | None) -> Credential:
        """Return who asks; raise a 401 that does not tell a wrong key from an expired one."""
        if self._local is not None:
            return Credential(key_id=LOCAL, scope=self._local, role="operator", any_user=self._local.user is None)
        scheme, _, token = (authorization or "").partition(" ")
        key = self._keys.authenticate(token.strip()) if scheme.lower() == BEARER else None
        if key is None:
            raise unauthorised()
        return credential_of(key)


def credential_of(key: ApiKey) -> Credential:
    return Credential(key_id=key.id, scope=key.scope, role=key.role, any_user=key.any_user)


def unauthorised() -> Refusal:
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        "No valid API key: send Authorization: Bearer seal-…, as `seal-agent keys create` printed it. Keys expire and can be revoked.",
        code="invalid_api_key",
        headers={"www-authenticate": "Bearer"},
    )
