"""What every route stands on, and how a route gets at it: the service itself, the caller's credential, the scope it may use.

Routes name what they need in their signature (`AgentScope`, `Served`), so that no route can forget to ask for the role.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer

from seal_agent.api_keys import KeyRole
from seal_agent.config import ServerSettings
from seal_agent.confirmations import Confirmations
from seal_agent.forgetting.records import ForgetPlan
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.server.credentials import Credential
from seal_agent.server.cycles import Cycles
from seal_agent.server.limits import Places
from seal_agent.server.metrics import Metrics
from seal_agent.server.refusals import bad_request
from seal_agent.server.upstream import Upstream
from seal_agent.types import ScopeId

USER_HEADER = "Whose memory, for a key that may act for any user of its agent; percent-encoded where it is not ASCII."


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One server's parts; made by `app.create_app`."""

    memory: Memory
    settings: ServerSettings
    metrics: Metrics
    places: Places
    """Room for chats."""
    pool: ThreadPoolExecutor
    """Threads of chats: slow answers must not keep quick calls waiting."""
    cycles: Cycles
    upstream: Upstream | None
    forgetting: Confirmations[ForgetPlan] = field(default_factory=Confirmations)
    """Plans that wait to be confirmed."""

    def scope(self, scope: ScopeId) -> Scope:
        return self.memory.scope(user=scope.user, agent=scope.agent, tenant=scope.tenant)


def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def credential_of(request: Request) -> Credential:
    credential = request.state.credential
    assert isinstance(credential, Credential)
    return credential


def user_of(seal_user: Annotated[str | None, Header(alias="Seal-User", description=USER_HEADER, max_length=1024)] = None) -> str | None:
    try:
        return None if seal_user is None else unquote(seal_user, errors="strict")
    except UnicodeDecodeError as error:
        raise bad_request("Seal-User is not percent-encoded UTF-8.", code="invalid_user", param="Seal-User") from error


def scope_for(role: KeyRole) -> Callable[[Request, str | None], Scope]:
    """Make the dependency that yields the caller's scope, for callers of at least this role."""

    def scope(request: Request, user: Annotated[str | None, Depends(user_of)]) -> Scope:
        credential = credential_of(request)
        credential.check_role(role)
        return service_of(request).scope(credential.scope_for(user))

    return scope


bearer = HTTPBearer(auto_error=False, description="A token as `seal-agent keys create` prints it.")
"""For the OpenAPI document: the key is checked at the boundary, before routing."""
documented = Security(bearer)

Served = Annotated[Service, Depends(service_of)]
Caller = Annotated[Credential, Depends(credential_of)]
ReaderScope = Annotated[Scope, Depends(scope_for("reader"))]
AgentScope = Annotated[Scope, Depends(scope_for("agent"))]
OperatorScope = Annotated[Scope, Depends(scope_for("operator"))]
