"""The records that flow between the rooms of the house; words as in the README's glossary. All of them can be had from here.

Data only: frozen, slotted, keyword-only dataclasses. Times are timezone-aware UTC, probabilities lie in [0, 1], log-probabilities are
natural logarithms. Behaviour over these records lives with the concept (the gate in `consolidation/gate.py`, and so on).
"""

from seal_agent.types.answers import BASE, Answer, AnswerVerdict, Feedback, Route, Trace
from seal_agent.types.cycles import Adapter, AdapterState, CyclePlan, CycleReport, CycleState, FactOutcome, ReadingReport
from seal_agent.types.episodes import Episode, Interaction, MetadataValue, Role, Turn, redaction_mark
from seal_agent.types.evaluation import Check, Decision, Evaluation, Finding, FindingKind, Graded, Probe, Probed, ProbeKind, Sheet, share
from seal_agent.types.facts import Fact, FactChange, FactEvent, FactKind, FactState, Source
from seal_agent.types.scopes import MAX_ID_LENGTH, ScopeId
from seal_agent.types.search import Context, Hit, Where
from seal_agent.types.study import (
    Budget,
    Example,
    Generation,
    Progress,
    ProgressCallback,
    Question,
    SelfEdit,
    SelfEditKind,
    TrainingResult,
    silent,
)

__all__ = [
    "BASE",
    "MAX_ID_LENGTH",
    "Adapter",
    "AdapterState",
    "Answer",
    "AnswerVerdict",
    "Budget",
    "Check",
    "Context",
    "CyclePlan",
    "CycleReport",
    "CycleState",
    "Decision",
    "Episode",
    "Evaluation",
    "Example",
    "Fact",
    "FactChange",
    "FactEvent",
    "FactKind",
    "FactOutcome",
    "FactState",
    "Feedback",
    "Finding",
    "FindingKind",
    "Generation",
    "Graded",
    "Hit",
    "Interaction",
    "MetadataValue",
    "Probe",
    "ProbeKind",
    "Probed",
    "Progress",
    "ProgressCallback",
    "Question",
    "ReadingReport",
    "Role",
    "Route",
    "ScopeId",
    "SelfEdit",
    "SelfEditKind",
    "Sheet",
    "Source",
    "Trace",
    "TrainingResult",
    "Turn",
    "Where",
    "redaction_mark",
    "share",
    "silent",
]
