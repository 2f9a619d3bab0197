"""Prometheus metrics of one server, in a registry of its own. Counts and times only: labels are route templates, never ids or contents.

What the brain holds is counted when somebody looks, not kept in step.
"""

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from seal_agent import __version__
from seal_agent.errors import SealAgentError
from seal_agent.memory import Memory

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})


class Metrics:
    def __init__(self, memory: Memory) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter("seal_http_requests", "Requests answered.", ("route", "method", "status"), registry=registry)
        self._seconds = Histogram(
            "seal_http_request_seconds", "Time to the end of the answer.", ("route",), buckets=SECONDS, registry=registry
        )
        self.search_seconds = Histogram("seal_memory_search_seconds", "Time of a search or a context.", buckets=SECONDS, registry=registry)
        self.recorded = Counter("seal_memory_episodes_recorded", "Interactions recorded through this server.", registry=registry)
        self.not_recorded = Counter("seal_memory_record_failures", "Chats that were answered but could not be recorded.", registry=registry)
        self.answers_open = Gauge("seal_chat_answers_open", "Answers being made now.", registry=registry)
        self.disconnects = Counter("seal_chat_disconnects", "Streams whose client left before the end.", registry=registry)
        self.first_piece = Histogram(
            "seal_chat_first_piece_seconds", "Time to the first piece of an answer.", buckets=SECONDS, registry=registry
        )
        self._tokens = Counter("seal_chat_tokens", "Tokens of prompts and answers.", ("kind",), registry=registry)
        self.cycles = Counter(
            "seal_cycles", "Consolidations started through this server, by how they ended.", ("state",), registry=registry
        )
        registry.register(Holdings(memory))

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def spent(self, prompt_tokens: int, answer_tokens: int) -> None:
        self._tokens.labels("prompt").inc(prompt_tokens)
        self._tokens.labels("answer").inc(answer_tokens)

    def expose(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)


class Holdings(Collector):
    """What the brain holds at this moment."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def describe(self) -> Iterator[Metric]:
        yield from ()

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("seal_agent", "The running version.", {"version": __version__})
        try:
            stats = self._memory.stats()
        except SealAgentError as error:
            logger.warning("the brain could not be counted for its metrics: %s", type(error).__name__)
            return
        records = GaugeMetricFamily("seal_memory_records", "Records in the brain.", labels=("kind",))
        for kind in ("scopes", "episodes", "adapters", "cycles", "not_embedded"):
            records.add_metric([kind], getattr(stats, kind))
        yield records
        yield GaugeMetricFamily("seal_live_adapters", "Scopes with a live adapter of their own.", stats.live)
        facts = GaugeMetricFamily("seal_memory_facts", "Facts by state.", labels=("state",))
        for state, count in stats.facts.items():
            facts.add_metric([state], count)
        yield facts
