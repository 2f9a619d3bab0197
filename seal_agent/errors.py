"""The error tree: one class per boundary that can fail, each message naming the thing and the way out.

    SealAgentError
    ├── UsageError                 the caller asked for something that makes no sense (exit code 2)
    │   ├── InvalidTurnError       an episode that can't be recorded: empty, malformed, too large
    │   ├── InvalidScopeError      a tenant, agent or user id that can't be a scope
    │   ├── InvalidTaskError       demonstrations that no task can be learnt from, or a task's name that can't be used
    │   ├── BlockedContentError    a text holds what the privacy policy keeps out
    │   ├── UnknownRecordError     an id that the ledger does not hold
    │   ├── CycleRunningError      a cycle of this scope is under way; wait for its end
    │   ├── ForgottenError         the same content was forgotten here, and does not come back by itself
    │   └── SettingsError          seal.toml or SEAL_* holds something unknown or out of range
    ├── MissingDependencyError     an extra is not installed (exit code 2)
    ├── BackendError               something below us is down or absent (exit code 3)
    │   ├── ModelNotFoundError     no weights under this id in any of the places tried
    │   ├── GenerationError        the model could not answer
    │   │   ├── OverloadedError    too many requests wait already; try again later
    │   │   └── DeadlineError      the answer was not whole when the caller's time was up
    │   ├── EmbeddingError         the embedder failed or answered nonsense
    │   ├── RerankingError         the reranker failed (search goes on without it)
    │   ├── VectorIndexError       the vector index can't be used (search goes on without it)
    │   ├── TrainingError          training stopped: not finite, out of budget, nothing to train on
    │   └── GradingError           an answer could not be judged; never counted as a wrong answer
    ├── StoreError                 the brain directory (exit code 4 unless said otherwise)
    │   ├── StoreLockedError       another process owns the directory (exit code 3)
    │   ├── StoreFullError         no space left on the device (exit code 3)
    │   ├── TargetExistsError      what is to be written exists already; nothing was written (exit code 2)
    │   └── NewerSchemaError       written by a newer seal-agent
    ├── IntegrityError             bytes on disk are not what the ledger says (exit code 4)
    │   └── ArchiveError           an archive that is damaged, forged, or contradicts the brain; nothing was written
    └── CycleInterruptedError      a consolidation was stopped; nothing was promoted (exit code 3)
        └── LeaseLostError         another process took the cycle over meanwhile

An error is never a score: a failed grader call raises, it does not return "wrong". Bugs (`TypeError`, `AssertionError`) are not
wrapped and propagate. This module deliberately knows nothing of the CLI: `exit_code` is data.
"""

from typing import ClassVar


class SealAgentError(Exception):
    """Base of everything that seal-agent raises on purpose."""

    exit_code: ClassVar[int] = 2


class UsageError(SealAgentError):
    """The call makes no sense as it stands; the message says what would."""


class InvalidTurnError(UsageError, ValueError):
    """An interaction that can't be recorded. Nothing was written."""


class InvalidScopeError(UsageError, ValueError):
    """A tenant, agent or user id that can't name a scope."""


class InvalidTaskError(UsageError, ValueError):
    """Demonstrations that no task can be learnt from, or a name that can't be a task's. Nothing was learnt."""


class BlockedContentError(UsageError, ValueError):
    """A text holds what the privacy policy keeps out. Nothing was written, and the message does not repeat it."""


class UnknownRecordError(UsageError, LookupError):
    """No record of that id in this scope."""


class CycleRunningError(UsageError):
    """A cycle of this scope is under way, here or in another process. At most one runs at a time."""


class ForgottenError(UsageError):
    """What is to be recorded was forgotten in this scope. Nothing was written; `Scope.allow_again` lifts that."""


class SettingsError(UsageError, ValueError):
    """Configuration that is unknown, contradictory or out of range."""


class MissingDependencyError(SealAgentError):
    """An optional dependency is absent; the message holds the install line."""


class BackendError(SealAgentError):
    """Something that seal-agent stands on is down or absent."""

    exit_code = 3


class ModelNotFoundError(BackendError):
    """No weights under this id; the message lists every place that was tried."""


class GenerationError(BackendError):
    """The model could not produce an answer."""


class OverloadedError(GenerationError):
    """The model's queue is full. Nothing was started; the same request may succeed a moment later."""


class DeadlineError(GenerationError):
    """The time that the caller gave was up before the answer was whole. Its place in the batch is free again."""


class EmbeddingError(BackendError):
    """The embedder failed, or answered with the wrong shape or non-finite numbers."""


class RerankingError(BackendError):
    """The reranker failed or answered nonsense. Search gives its hits in the order that it had without one."""


class VectorIndexError(BackendError):
    """The vector index can't be used. Search falls back to an exact scan of the ledger."""


class TrainingError(BackendError):
    """Training stopped before its end. The agent goes on with the adapter it had."""


class GradingError(BackendError):
    """An answer could not be judged. It is ungraded, not wrong."""


class StoreError(SealAgentError):
    """The brain directory can't be used as it is."""

    exit_code = 4


class StoreLockedError(StoreError):
    """Another process owns the directory."""

    exit_code = 3


class StoreFullError(StoreError):
    """The disk is full. What was acknowledged before is safe."""

    exit_code = 3


class TargetExistsError(StoreError):
    """What is to be written exists already, and is not replaced. Nothing was written."""

    exit_code = 2


class NewerSchemaError(StoreError):
    """The ledger was written by a newer seal-agent than this one."""


class IntegrityError(SealAgentError):
    """Bytes on disk are not what the ledger recorded."""

    exit_code = 4


class ArchiveError(IntegrityError):
    """An archive is damaged, incomplete or forged, or contradicts the brain that it is imported into. Nothing was written."""


class CycleInterruptedError(SealAgentError):
    """A consolidation was stopped on request. Nothing was promoted; the next one goes on from where this one stopped."""

    exit_code = 3


class LeaseLostError(CycleInterruptedError):
    """The lease on a scope's cycle went to another process, because this one did not answer in time. Nothing was promoted by this one."""
