"""All knobs, one frozen section per room, each default written once.

Values come, later ones winning, from the defaults here, `seal.toml` in the brain directory, `SEAL_*` environment variables
(`SEAL_TRAINING__RANK=8`) and what the caller passes. Unknown keys are refused: a misspelt threshold must not be a missing one.
"""

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from seal_agent.errors import SettingsError

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Policy = Literal["keep", "redact", "block"]
Objective = Literal["masked", "distilled", "mixed", "seal", "passage"]


class Section(BaseModel):
    """One room's knobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(Section):
    """The agent's model: `models/`."""

    id: str = Field("smollm2-135m-instruct", description="Hub id, local folder, or the embedded smollm2-135m-instruct.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor multiplies it natively, else float32."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves torch's choice.")
    batch_tokens: Count = Field(4096, description="Most tokens (padding included) in one forward pass of generation or scoring.")
    batch_rows: Count = Field(16, description="Most answers that are generated at the same time.")
    max_waiting: Count = Field(256, description="Most requests that wait for the model; further ones are refused as overloaded.")
    idle_seconds: Positive = Field(
        30.0,
        description="Without a request for so long, or while a night trains, the packed copy of the weights is let go. It is as large as "
        "the model; the next request makes it anew (0.3 s for the embedded model).",
    )
    kept_adapters: Count = Field(8, description="Adapters kept in memory, the least recently used leaves first; ones in use always stay.")
    system_prompt: str = Field("", description="System message of answers and of study material alike; empty is an empty message.")
    max_answer_tokens: Count = Field(48, description="Longest answer of `ask`, in tokens.")


class RetrievalSettings(Section):
    """Search and context: `retrieval/`."""

    embedder: str = Field(
        "all-minilm-l6-v2",
        description="Hub id, local folder, or the embedded all-minilm-l6-v2. Of a new brain; a filled one changes by `seal-agent reindex`.",
    )
    k: Count = Field(8, description="Hits that a search returns.")
    turn_weight: Weight = Field(0.3, description="Weight in the fused score of BM25 over a turn or fact by itself.")
    window_weight: Weight = Field(1.0, description="Of BM25 over a turn with two turns before and after it.")
    conversation_weight: Weight = Field(0.5, description="Of BM25 over the whole conversation that a turn is part of.")
    speaker_weight: Weight = Field(0.4, description="Of being said by somebody whom the query names.")
    dense_weight: Weight = Field(0.1, description="Of the vector of the turn or fact itself.")
    near_weight: Weight = Field(0.6, description="Of the vectors of a turn and of the turns around it.")
    reranker: str = Field("", description="Hub id or local folder of a cross-encoder that orders the first hits anew; empty for none.")
    reranked: Count = Field(30, description="Hits that the reranker reads; each costs some milliseconds.")
    context_tokens: Count = Field(600, description="Default token budget of `context`.")
    exact_scan_below: int = Field(20_000, ge=0, description="Scopes with fewer vectors are scanned exactly; Chroma serves the others.")


class RoutingSettings(Section):
    """Where an answer comes from: `routing.py`."""

    min_confidence: Share = Field(
        0.5,
        description="Least calibrated probability at which the weights answer alone, without context. A small model with context in its "
        "prompt may be right less often than that (docs/LOG.md).",
    )
    abstention: str = Field("I don't know.", min_length=1, description="The answer where neither text nor weights know.")


class FactSettings(Section):
    """What becomes a fact: `consolidation/facts.py`."""

    reader: Literal["auto", "rules", "writer"] = Field(
        "auto",
        description="Who reads what users said. rules: sentences as they were said, those that sound durable. writer: beside these, what "
        "the writer of self-edits claims a turn says and the turn's own words bear out; a remote one is sent the turns. auto: the writer "
        "where one of its own was given, rules where the agent's model writes (docs/decisions/0016-a-writer-reads.md).",
    )
    min_score: float = Field(
        0.5, description="Least durability score of a sentence, about 0 for small talk and 1 for a fact; higher keeps less."
    )
    max_per_episode: Count = Field(20, description="Most facts drawn from one episode.")
    hearsay: list[str] = Field(
        ["document", "tool", "web"], description="No facts are drawn from episodes whose source begins with one of these, in lower case."
    )
    duplicate_similarity: Share = Field(0.92, description="Cosine at and above which two facts say the same.")
    correction_similarity: Share = Field(0.45, description="Least cosine between a correction and the fact it supersedes.")


class SelfEditSettings(Section):
    """Study material: `consolidation/self_edit.py`."""

    portfolio: Literal["auto", "questions", "full"] = Field(
        "auto",
        description="What the writer is asked for: single questions, or everything in JSON lists, which small models can't keep to. auto: "
        "everything where a writer of its own was given, questions where the agent's model writes.",
    )
    questions_per_fact: int = Field(2, ge=0, description="Questions that the writer is asked for, per fact; 0 leaves the floor alone.")
    samples: Count = Field(1, description="Sets of items that are drawn for each fact; the best is kept. Of the full portfolio.")
    reward: Literal["coverage", "likelihood"] = Field(
        "coverage",
        description="Which set is best: by counting, or by how probable it makes the held-out answers when the model reads it.",
    )
    rounds: Count = Field(2, description="How often it is written for a fact whose answer strings occur in too few items.")
    max_documents_per_fact: Count = Field(14, description="Most items kept per fact; each answer should occur in 8 or more.")
    min_documents_per_fact: Count = Field(4, description="A fact with fewer items is not trained on.")
    held_out_per_fact: Count = Field(2, description="Questions kept out of training to judge by.")
    temperature: Positive = Field(0.9, description="Sampling temperature of the writer.")

    @model_validator(mode="after")
    def _room_for_the_least(self) -> Self:
        if self.max_documents_per_fact < self.min_documents_per_fact:
            raise ValueError(
                f"max_documents_per_fact={self.max_documents_per_fact} is below min_documents_per_fact={self.min_documents_per_fact}: "
                "no fact could ever be trained on."
            )
        return self


class TrainingSettings(Section):
    """The inner loop's optimiser: `trainers/`."""

    NOT_DECIDING: ClassVar[frozenset[str]] = frozenset({"isolated", "max_memory_mb", "min_free_mb"})
    """What changes where training runs, and nothing of what comes of it."""

    objective: Objective = Field(
        "masked",
        description="How facts are learnt: masked (likelihood), distilled (as the base says it with the source before it), mixed (answers "
        "mixed from what it says with and without), or the baselines seal and passage with rank, rate and passes of their own.",
    )
    mixed_share: Share = Field(0.3, description="Share of tokens that mixed answers take from the base without the source.")
    context_share: Share = Field(0.0, description="Share of the facts' items that are asked with their source in the prompt.")
    rank: Count = Field(16, description="LoRA rank.")
    alpha: Count = Field(32, description="LoRA alpha; the update is scaled by alpha / rank.")
    learning_rate: Positive = Field(1.5e-3, description="Peak learning rate of AdamW.")
    max_passes: Count = Field(5, description="Most passes over the material.")
    batch_size: Count = Field(4, description="Examples per optimiser step.")
    layer_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="Share of the layers, counted from the top, that carry the LoRA."
    )
    known_above: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.7, description="Answer tokens with a higher probability are known and skipped."
    )
    anchor_weight: Annotated[float, Field(ge=0.0)] = Field(4.0, description="Factor on the anchors' loss.")
    anchor_share: Share = Field(0.25, description="Share of anchors among the examples.")
    min_anchors: int = Field(
        48,
        ge=0,
        description="Least anchors, however few the facts: a dozen prompts do not stand for everything else that the model can do.",
    )
    target_loss: Annotated[float, Field(ge=0.0)] = Field(
        0.05, description="Stop once the held-out paraphrases' median loss per token is below, in nats."
    )
    settled_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="Share of the items that stay in a pass, of facts whose held-out paraphrase is known; 1 goes on with all of them."
    )
    max_tokens: int = Field(0, ge=0, description="Tokens at which training ends with what it has; 0 sets no limit.")
    max_minutes: Positive = Field(60.0, description="Wall-clock time at which training ends with what it has.")
    isolated: bool = Field(
        True, description="Train in a child process of low priority; false trains in the agent's own, which a crash ends."
    )
    max_memory_mb: int = Field(0, ge=0, description="Most memory of the training process, in MB; 0 sets no limit.")
    min_free_mb: int = Field(256, ge=0, description="Free disk space without which training does not begin, in MB.")
    seed: int = Field(0, ge=0, description="Seed of everything random in a cycle.")


class FewShotSettings(Section):
    """Tasks learnt from demonstrations: `few_shot/`."""

    folds: int = Field(
        5, ge=2, description="Parts that demonstrations are held out in, each in turn; as many as there are, or more: one by one."
    )
    written: int = Field(4, ge=0, description="Recipes that the model is asked for, beside those that people wrote; 0 asks for none.")
    temperature: Positive = Field(0.8, description="Sampling temperature of written recipes.")
    max_examples: Count = Field(250, description="Most examples that a recipe makes of the demonstrations.")
    max_steps: Count = Field(1000, description="Most optimiser steps of a recipe; longer ones are refused.")
    shown: Count = Field(4, description="Most demonstrations in the prompt of a text task that a recipe asks to show.")
    min_gain: Share = Field(0.05, description="Least rise of held-out accuracy over the same model with the demonstrations in its prompt.")
    max_answer_tokens: Count = Field(1024, description="Longest output of a task, in tokens.")


class PracticeSettings(Section):
    """The outer loop, in which writing self-edits is practised: `consolidation/outer_loop.py`."""

    contexts: Count = Field(8, description="Most contexts that a round samples self-edits for.")
    facts_per_context: Count = Field(3, description="Facts that make up a context.")
    unseen: Count = Field(4, description="Contexts kept apart, on which the editor is judged.")
    self_edits: int = Field(3, ge=2, description="Self-edits sampled per context.")
    repeats: int = Field(2, ge=2, description="Inner loops per self-edit, with seeds of their own: half choose, the others report.")
    reward: Literal["gain", "coverage", "judge"] = Field(
        "gain",
        description="gain: by inner loops. coverage: coverage times repetition, in seconds. judge: by the writer passed in, or the model.",
    )
    passes: Count = Field(3, description="Passes of an inner loop, and of judging.")
    retention_penalty: Weight = Field(1.0, description="Weight of the rise of loss on general text, in nats per token, in the reward.")
    editor_passes: Count = Field(4, description="Passes of the editor's training over the winners.")
    editor_rate: Positive = Field(3e-4, description="Learning rate of the editor.")
    at_once: Count = Field(1, description="Inner loops at the same time; more than one helps where cores or devices are idle.")
    max_minutes: Positive = Field(240.0, description="A round that takes longer is stopped; the next call goes on where it stopped.")


class PrivacySettings(Section):
    """What becomes of secrets and personal data where text is recorded: `privacy/`. None of it is trained on, whatever is set here."""

    private_key: Policy = Field("redact", description="Private keys and recovery phrases: keep, redact or block.")
    api_key: Policy = Field("redact", description="Keys of services: keep, redact or block.")
    access_token: Policy = Field("redact", description="Session and bearer tokens: keep, redact or block.")
    password: Policy = Field("redact", description="Passwords, PINs, one-time codes: keep, redact or block.")
    credit_card: Policy = Field("redact", description="Payment card numbers: keep, redact or block.")
    bank_account: Policy = Field("keep", description="IBANs and account numbers: keep, redact or block.")
    national_id: Policy = Field("keep", description="Social security, tax, health, passport and licence numbers: keep, redact or block.")
    crypto_wallet: Policy = Field("keep", description="Bitcoin addresses: keep, redact or block.")
    email: Policy = Field("keep", description="E-mail addresses: keep, redact or block.")
    phone: Policy = Field("keep", description="Phone numbers: keep, redact or block.")
    ip_address: Policy = Field("keep", description="IP and MAC addresses: keep, redact or block.")
    birth_date: Policy = Field("keep", description="Dates of birth: keep, redact or block.")
    confidential: Policy = Field("keep", description="Turns said in confidence (off the record): keep, redact or block.")
    custom: Policy = Field("redact", description="What `patterns` find: keep, redact or block.")
    patterns: dict[str, str] = Field({}, description="Your own regular expressions by name, in Python's syntax.")
    phone_regions: list[str] = Field(
        ["US", "GB", "DE", "FR", "ES", "IT", "IN", "BR"], description="Countries (ISO 3166) whose phone numbers are known without a +."
    )

    @cached_property
    def policies(self) -> dict[str, Policy]:
        """The policy of each kind."""
        return {name: value for name, value in self if name not in ("patterns", "phone_regions")}

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"patterns.{name} is no regular expression: {error}") from error
        return patterns


class GateSettings(Section):
    """Thresholds of promotion: `consolidation/gate.py`."""

    min_gain: Share = Field(0.2, description="Least rise of held-out recall over the base.")
    max_general_drop: Share = Field(0.05, description="Most that accuracy on general questions may fall below the base.")
    max_retention_drop: Share = Field(0.05, description="Most that recall of earlier facts may fall below the live adapter.")
    max_perplexity_ratio: Positive = Field(1.10, description="Most that perplexity on general text may rise over the base, as a factor.")
    max_kl: Positive = Field(0.5, description="Most divergence from the base over what it says itself, in nats per token.")
    max_probe_drop: Share = Field(
        0.2, description="Most that formats, refusals or abstentions kept may each fall below the base, as a share of its probes."
    )
    max_context_drop: Share = Field(
        0.1, description="Most that accuracy with the fact in the prompt may fall below the live adapter, or the base where there is none."
    )
    canaries: tuple[str, ...] = Field((), description="Strings that no adapter may ever say; a candidate that says one is rejected.")
    intruder_facts: int = Field(
        2, ge=0, description="A candidate that says a word from nowhere about so many facts is rejected; 0 asks for no such thing."
    )
    scale_steps: int = Field(5, ge=0, description="Bisection steps that scale a drifting candidate down before it is rejected.")
    min_scale: Share = Field(0.1, description="Least scale tried.")


class NightSettings(Section):
    """When scopes learn by themselves: `nights/`."""

    window: str = Field(
        "01:00-05:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
        description="Local times between which a night begins; may cross midnight. Equal times are the whole day.",
    )
    time_zone: str = Field("UTC", description="IANA name of the zone that the window and a night's date are told in.")
    catch_up: bool = Field(True, description="Whether a night that could not begin in its window is held later, until the next one opens.")
    min_new_facts: Count = Field(1, description="Fewest new facts that are worth a night; what must be unlearnt is always worth one.")
    idle_minutes: float = Field(5.0, ge=0, description="No night begins before so many minutes without a question; 0 does not wait.")
    max_load: float = Field(
        0.8, ge=0, description="Most running processes per core (load average of a minute) at which a night begins; 0: any."
    )
    max_minutes: Positive = Field(240.0, description="A cycle that takes longer is stopped; the next night goes on where it stopped.")
    scopes_at_once: Count = Field(1, description="Most scopes whose nights are held at the same time.")
    check_seconds: Positive = Field(60.0, description="How often it is asked whether a night is due.")
    attempts: Count = Field(3, description="How often a night that fails is tried.")
    retry_minutes: Positive = Field(15.0, description="Wait before a night that failed is tried again.")
    lease_seconds: Positive = Field(60.0, description="A process that does not answer for so long loses its cycle to another.")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone; give an IANA name such as Europe/Berlin") from error
        return name


class WatchSettings(Section):
    """When a promotion is taken back by itself: `watch.py`."""

    min_verdicts: Count = Field(8, description="Fewest verdicts on answers of an adapter before it is judged by them.")
    max_bad_share: Share = Field(0.3, description="Most of its answers that may be called bad; 1 never rolls back.")
    min_requests: Count = Field(20, description="Fewest requests with an adapter before it is judged by their errors.")
    max_error_share: Share = Field(0.1, description="Most of its requests that may fail; 1 never rolls back.")


class ServerSettings(Section):
    """The HTTP server: `server/`."""

    host: str = Field("127.0.0.1", description="Address to bind. Beyond this machine only once there are API keys.")
    port: int = Field(8848, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field((), description="Names that a Host header may hold beside those of the address; * is any.")
    max_body_bytes: Count = Field(1_048_576, description="Largest body of a request, counted as it is received.")
    max_bulk_bytes: Count = Field(8_388_608, description="The same for a batch of interactions.")
    body_seconds: Positive = Field(30.0, description="Longest time that a body may take to arrive.")
    requests_per_minute: int = Field(6000, ge=0, description="Most requests of one key in a minute; 0 limits nothing.")
    max_requests: Count = Field(512, description="Requests served at a time; one more is told to come back.")
    max_answers: Count = Field(256, description="Chats answered at a time, streams included; one more is told to come back.")
    answer_seconds: Positive = Field(300.0, description="Longest time of one answer, waiting for the model included.")
    inject_context: bool = Field(True, description="Put what is remembered into the prompt of a chat, unless the request says otherwise.")
    record: bool = Field(True, description="Record a chat once it is answered, unless the request says otherwise.")
    nights: bool = Field(True, description="Run the nights inside the server.")
    upstream_url: str = Field(
        "", description="Base URL (ending in /v1) of an OpenAI-compatible model to stand in front of; empty: our own."
    )
    upstream_model: str = Field("", description="The upstream's model that `seal-agent` stands for.")
    upstream_key: SecretStr = Field(
        SecretStr(""), description="The upstream's API key; better in SEAL_SERVER__UPSTREAM_KEY than in a file."
    )
    upstream_seconds: Positive = Field(120.0, description="Longest silence of the upstream.")
    upstream_max_bytes: Count = Field(16_777_216, description="Longest answer of the upstream.")


class Settings(BaseSettings):
    """Everything, by section."""

    model_config = SettingsConfigDict(env_prefix="SEAL_", env_nested_delimiter="__", extra="forbid", frozen=True)

    model: ModelSettings = ModelSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    routing: RoutingSettings = RoutingSettings()
    facts: FactSettings = FactSettings()
    self_edit: SelfEditSettings = SelfEditSettings()
    training: TrainingSettings = TrainingSettings()
    few_shot: FewShotSettings = FewShotSettings()
    practice: PracticeSettings = PracticeSettings()
    gate: GateSettings = GateSettings()
    nights: NightSettings = NightSettings()
    watch: WatchSettings = WatchSettings()
    privacy: PrivacySettings = PrivacySettings()
    server: ServerSettings = ServerSettings()

    @classmethod
    def load(cls, toml: Path | None = None, **overrides: dict[str, Any]) -> "Settings":
        """Read the file (absent is fine) and the environment; raise `SettingsError` naming the key that is wrong."""

        class FromFile(cls):  # type: ignore[valid-type,misc]  # pydantic-settings takes the file's path from the class alone
            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                **_: Any,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
                return (*sources, TomlConfigSettingsSource(settings_cls, toml)) if toml and toml.exists() else sources

        try:
            loaded = FromFile(**overrides)
        except (ValidationError, ValueError) as error:
            raise SettingsError(explain(error, toml)) from error
        return Settings.model_construct(**{name: getattr(loaded, name) for name in cls.model_fields})


def explain(error: ValueError, toml: Path | None) -> str:
    """One line per wrong key, in the words of the person who wrote it."""
    where = f"{toml} or SEAL_* variables" if toml else "SEAL_* variables or arguments"
    if not isinstance(error, ValidationError):
        return f"{where}: {error}"
    return (
        "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']} (got {item['input']!r})" for item in error.errors())
        + f". Check {where}."
    )
