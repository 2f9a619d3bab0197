"""seal-agent: a memory for agents that remembers by day and learns by night.

The public names, loaded on first use: `import seal_agent` itself costs no torch, peft, transformers, chromadb or langchain.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from seal_agent.answer_stream import AnswerStream
    from seal_agent.config import Settings
    from seal_agent.consolidation.round_report import RoundReport
    from seal_agent.errors import SealAgentError
    from seal_agent.explanations import Explanation
    from seal_agent.few_shot.records import RecipeRound, TaskAnswer, TaskReport
    from seal_agent.forgetting.records import ForgetPlan, Receipt
    from seal_agent.memory import Memory, Scope
    from seal_agent.sampling import Sampling
    from seal_agent.types import Answer, Context, CyclePlan, CycleReport, Episode, Fact, Hit, Interaction, ScopeId, Trace, Turn

__all__ = [
    "Answer",
    "AnswerStream",
    "Context",
    "CyclePlan",
    "CycleReport",
    "Episode",
    "Explanation",
    "Fact",
    "ForgetPlan",
    "Hit",
    "Interaction",
    "Memory",
    "Receipt",
    "RecipeRound",
    "RoundReport",
    "Sampling",
    "Scope",
    "ScopeId",
    "SealAgentError",
    "Settings",
    "TaskAnswer",
    "TaskReport",
    "Trace",
    "Turn",
    "__version__",
]

_HOMES = {
    "AnswerStream": "answer_stream",
    "Explanation": "explanations",
    "ForgetPlan": "forgetting.records",
    "Memory": "memory",
    "Receipt": "forgetting.records",
    "RecipeRound": "few_shot.records",
    "RoundReport": "consolidation.round_report",
    "Sampling": "sampling",
    "Scope": "memory",
    "SealAgentError": "errors",
    "Settings": "config",
    "TaskAnswer": "few_shot.records",
    "TaskReport": "few_shot.records",
}


def __getattr__(name: str) -> Any:  # Any: the type of a lazily loaded name is given by the block above
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'types')}"), name)
