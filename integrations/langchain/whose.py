"""Whose memory a run of an agent is about: a scope given outright, or found by the user's id that travels with the run.

Deliberately never guesses: a run that names no user gets an error, not somebody else's memory or a shared one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.config import get_config
from langgraph.runtime import get_runtime

from seal_agent.errors import UsageError
from seal_agent.memory import Memory
from seal_agent.scope import Scope

RunConfig = Mapping[str, Any]
ScopeSource = Scope | Memory | Callable[[object, RunConfig], Scope]
"""A scope; a brain, then `user_id` of the run says whose; or a function of the run's context and `configurable`."""

USER = "user_id"


def scope_of(source: ScopeSource, agent: str, context: object = None, config: Mapping[str, Any] | None = None) -> Scope:
    """Return the scope; of a brain, that of `context.user_id`, `context["user_id"]` or `config["configurable"]["user_id"]`.

    Raise `UsageError` when nothing says who the user is, `InvalidScopeError` for an id that can't be one.
    """
    if isinstance(source, Scope):
        return source
    configurable: RunConfig = (config if config is not None else current_config()).get("configurable") or {}
    if not isinstance(source, Memory):
        return source(context, configurable)
    user = context.get(USER) if isinstance(context, Mapping) else getattr(context, USER, None)
    user = configurable.get(USER) if user is None else user
    if user is None:
        ways = 'pass context with a user_id, or config={"configurable": {"user_id": ...}}, or give a scope instead of the brain'
        raise UsageError(f"Nothing says whose memory this is: {ways}.")
    return source.scope(user=str(user), agent=agent)


def current_config() -> RunConfig:
    """The configuration of the graph that runs now; empty outside of one."""
    try:
        return get_config()
    except RuntimeError:
        return {}


def current_context() -> object:
    """The context of the graph that runs now; None outside of one."""
    try:
        return getattr(get_runtime(), "context", None)  # within a configuration but outside of a graph there is none
    except (RuntimeError, KeyError):
        return None


def thread_of(config: RunConfig) -> str | None:
    """The conversation that a run belongs to."""
    thread = (config.get("configurable") or {}).get("thread_id")
    return None if thread is None else str(thread)
