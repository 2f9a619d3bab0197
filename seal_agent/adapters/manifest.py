"""What an adapter is: its manifest, written last when it is published and read first when it is loaded, and its name.

Numbers, hashes and ids only: never the text of a fact, so that an adapter folder can be shown or copied without quoting anybody.
Deliberately reads and writes no files.
"""

import hashlib
import math
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from seal_agent.errors import IntegrityError, UsageError
from seal_agent.types import Budget, Evaluation, ScopeId, TrainingResult

MANIFEST = "MANIFEST.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
MAX_BYTES = {MANIFEST: 16 << 20, CONFIG: 1 << 20, CARD: 1 << 20, WEIGHTS: 8 << 30}
"""The files that an adapter may consist of, and how large each may be: rank 512 on all layers of a 7B model is 5 GiB in float32."""
NAME = re.compile(r"[a-z0-9_]+-[0-9a-f]{8}-v[1-9][0-9]*-[0-9a-f]{8}")
MAX_SLUG = 64
MAX_NAME = 120
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What one file of an adapter was when it was published."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFigures:
    """What the training run cost and came to."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    steps: int
    passes: int
    trained_tokens: int
    seconds: float
    losses: tuple[float, ...]
    stopped_early: bool
    budget: Budget | None = None
    """Which budget ended it. By the clock it ends elsewhere each time: `max_tokens` = `trained_tokens` gives these bytes again."""

    @classmethod
    def of(cls, result: TrainingResult) -> "TrainingFigures":
        return cls(
            steps=result.steps,
            passes=result.passes,
            trained_tokens=result.trained_tokens,
            seconds=result.seconds,
            losses=result.losses,
            stopped_early=result.stopped_early,
            budget=result.budget,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFigures:
    """How candidate and baseline did; None where nothing was asked."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    held_out: int
    """Number of held-out questions."""
    baseline_recall: float | None
    candidate_recall: float | None
    general: int
    """Number of general questions."""
    baseline_general: float | None
    candidate_general: float | None
    perplexity_ratio: float
    seed: int

    @classmethod
    def of(cls, evaluation: Evaluation) -> "EvaluationFigures":
        baseline, candidate = evaluation.baseline, evaluation.candidate
        return cls(
            held_out=len(candidate.held_out),
            baseline_recall=baseline.recall,
            candidate_recall=candidate.recall,
            general=len(candidate.general),
            baseline_general=baseline.general_accuracy,
            candidate_general=candidate.general_accuracy,
            perplexity_ratio=evaluation.perplexity_ratio,
            seed=evaluation.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One adapter: whose it is, what it stands on, what it was taught and how, and the hash of each of its files."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    format: Literal[1] = 1
    name: str
    """As `adapter_name` makes it."""
    scope: str
    """The scope's key."""
    version: Annotated[int, Field(ge=1)]
    parent: str | None
    """The adapter that was live before, for the record: no adapter is trained from another."""
    base_id: str
    base_sha256: Annotated[str, Field(min_length=1)]
    """Of the base model's weights: an adapter serves only on the weights that it was trained on."""
    tokenizer_sha256: Sha256 | None = None
    """Of its vocabulary and chat template; None where the model has no files, or the adapter is older than this entry."""
    base_revision: str | None = None
    """The hub's commit, for the record: the hashes are what counts."""
    facts: dict[str, Sha256]
    """Id of each fact taught, with the hash of its text."""
    self_edits: dict[str, int]
    """Items of study material by kind."""
    seed: int
    hyper_parameters: dict[str, JsonValue]
    code_version: str
    created_at: AwareDatetime
    training: TrainingFigures
    evaluation: EvaluationFigures | None
    scale: float = 1.0
    """Factor at which the candidate was judged; the published weights hold it already."""
    rank: int = 0
    """This and the next three are filled in by `publish`, from the files themselves."""
    alpha: float = 0.0
    target_modules: tuple[str, ...] = ()
    files: dict[str, FileRecord] = field(default_factory=dict)
    """By name, without the manifest."""


_json = TypeAdapter(Manifest)


def encode(manifest: Manifest) -> bytes:
    return _json.dump_json(manifest, indent=2) + b"\n"


def decode(text: bytes) -> Manifest:
    """Raise `IntegrityError` for anything but a whole manifest of this format."""
    try:
        return _json.validate_json(text)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in wrong["loc"]) or "the whole"
        raise IntegrityError(f"{MANIFEST} can't be read: {where}: {wrong['msg']}") from error


def adapter_name(scope: ScopeId, version: int, sha256: str) -> str:
    """Name an adapter `<ids>-<8 hex of the scope>-v<version>-<8 hex of the weights>`: safe in file systems, URLs and module names.

    The ids are for the reader and lossy; the hash tells `A`, `a` and `ａ` apart. Only the three separators are dashes and both ends have
    a fixed shape, so no name is part of another one: peft and some servers look for adapters by substring.

    >>> adapter_name(ScopeId(user="Ana"), 3, "c0ffee00" * 8)
    'default_default_ana-695879af-v3-c0ffee00'
    """
    if version < 1 or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UsageError(f"version={version!r}, sha256={sha256!r}: versions begin at 1, and the hash is 64 lower-case hex digits.")
    ascii_only = unicodedata.normalize("NFKD", scope.key).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")[:MAX_SLUG].rstrip("_") or "scope"
    name = f"{slug}-{hashlib.sha256(scope.key.encode()).hexdigest()[:8]}-v{version}-{sha256[:8]}"
    if len(name) > MAX_NAME:
        raise UsageError(f"version={version!r} is too large for a name of {MAX_NAME} characters.")
    return name


def check_identity(manifest: Manifest, name: str, base_sha256: str) -> None:
    """Raise `IntegrityError` unless it is the manifest of the adapter `name` on these base weights."""
    if manifest.name != name:
        raise IntegrityError(f"{MANIFEST} is that of {manifest.name!r}, not of {name!r}")
    if manifest.base_sha256 != base_sha256:
        raise IntegrityError(
            f"{MANIFEST} says it was trained on base weights {manifest.base_sha256!r} ({manifest.base_id!r}); running are {base_sha256!r}"
        )
    if WEIGHTS not in manifest.files or CONFIG not in manifest.files:
        raise IntegrityError(f"{MANIFEST} does not list both {WEIGHTS} and {CONFIG}")
    expected = _expected_name(manifest)
    if manifest.name != expected:
        raise IntegrityError(f"{MANIFEST} gives scope, version and weights that make the name {expected!r}, not {manifest.name!r}")
    if not (math.isfinite(manifest.scale) and 0 < manifest.scale <= 1):
        raise IntegrityError(f"{MANIFEST}: scale={manifest.scale!r} is not in (0, 1]")


def check_tokenizer(manifest: Manifest, tokenizer_sha256: str | None) -> None:
    """Raise `IntegrityError` where both are known and differ: the weights may be the same and the words other ones."""
    if None not in (manifest.tokenizer_sha256, tokenizer_sha256) and manifest.tokenizer_sha256 != tokenizer_sha256:
        raise IntegrityError(
            f"Adapter {manifest.name!r} was trained with a tokenizer or chat template of hash {manifest.tokenizer_sha256!r}; running is"
            f" {tokenizer_sha256!r}. Put the model's files back as they were, or let the next night train anew."
        )


def _expected_name(manifest: Manifest) -> str:
    try:
        tenant, agent, user, *rest = [*manifest.scope.split("/"), *(None,) * 2][: max(3, manifest.scope.count("/") + 1)]
        if tenant is None or rest:
            raise UsageError(f"{manifest.scope!r} is not a scope's key: tenant/agent/user.")
        return adapter_name(ScopeId(tenant=tenant, agent=agent, user=user), manifest.version, manifest.files[WEIGHTS].sha256)
    except UsageError as error:
        raise IntegrityError(f"{MANIFEST}: {error}") from error
