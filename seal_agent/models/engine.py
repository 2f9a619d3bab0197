"""The one loop that runs the model: a bounded queue, rows that join and leave a running batch, each with its own adapter.

One thread owns every forward pass of generation. Rows of different adapters run in one pass (`packed.py` adds each row's own update), a
row keeps the adapter that it was asked with, and one that was closed, came too late or ended leaves before the next step. Prompts are run
in chunks between two steps, so that a long one does not silence the others. The idea is continuous batching (Orca, OSDI 2022).
Deliberately knows no names of adapters, no prompts and no files.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PretrainedConfig

from seal_agent.errors import GenerationError, OverloadedError
from seal_agent.models.packed import carrying, segments_of
from seal_agent.models.requests import Request, Row, too_late
from seal_agent.models.slots import PLACES_AT_ONCE, Masks, Slots

logger = logging.getLogger(__name__)

CHUNK = 128
"""Tokens of a prompt that run at once. While others speak, about so many are run between two of their tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much runs and how much waits."""

    rows: int
    tokens: int
    """Of a batch: rows times the places of the longest."""
    waiting: int
    """Requests of which a row has not begun."""
    idle_seconds: float
    """Without a request for so long, the thread, the slots and the view are let go; the next request makes new ones."""


class Engine:
    """Owns the forward passes of one view at a time. Safe to use from several threads."""

    def __init__(
        self, view: Callable[[], Any], config: PretrainedConfig, limits: Limits, at_rest: Callable[[], object]
    ) -> None:  # Any: a causal model of transformers, whose `__call__` is untyped
        """`view` is asked for when there is something to run, and let go when there was nothing for long; then `at_rest` is told."""
        self._make_view = view
        self._view: Any = None
        self._at_rest = at_rest
        self._layers = int(config.num_hidden_layers)
        self._limits = limits
        self._masks = Masks.of(config)
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._pid = os.getpid()
        self._resting = False
        self._slots = Slots(self._layers)
        self._running: list[Row] = []
        self._filling: Row | None = None

    def submit(self, request: Request) -> None:
        """Queue a request; raise `OverloadedError` when the queue is full, `GenerationError` after `close` or a fork."""
        with self._changed:
            if self._closed:
                raise GenerationError("The model was closed.")
            if os.getpid() != self._pid:
                raise GenerationError("The model was used before the process was forked; open it after the fork instead.")
            if len(self._waiting) >= self._limits.waiting:
                raise OverloadedError(f"{len(self._waiting)} requests wait for the model already; try again in a moment.")
            self._waiting.append(request)
            self._start()
            self._changed.notify()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="seal-engine", daemon=True)
            self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the loop holds the view."""
        return self._thread is not None

    def wind_down(self) -> None:
        """Let the idle time run although nothing was asked of the loop: the view was made for somebody else, who will not end it."""
        with self._changed:
            if not self._closed and os.getpid() == self._pid:
                self._start()

    def rest(self) -> None:
        """Let go of the view as soon as nothing is asked for, not only after the idle time."""
        with self._changed:
            self._resting = self._thread is not None
            self._changed.notify()

    def close(self) -> None:
        """Fail what waits and runs, and let the thread end. Idempotent."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        with torch.inference_mode():
            while self._has_work():
                try:
                    if self._view is None:
                        self._view = self._make_view()
                    self._step()
                except Exception as error:  # whatever broke, each asker must hear of it and the next request find a loop
                    logger.exception("a forward pass failed")
                    self._fail_all(GenerationError(f"The forward pass failed: {type(error).__name__}: {error}"))
        self._at_rest()

    def _has_work(self) -> bool:
        """Wait for some; False when the thread is to end."""
        with self._changed:
            if not self._running and self._filling is None:
                self._changed.wait_for(lambda: self._waiting or self._closed or self._resting, timeout=self._limits.idle_seconds)
            if self._closed or not (self._waiting or self._running or self._filling):
                self._thread, self._view, self._resting = None, None, False
                if self._closed:
                    self._fail_all(GenerationError("The model was closed."))
                self._slots = Slots(self._layers)
                return False
            return True

    def _step(self) -> None:
        self._drop_unwanted()
        budget = CHUNK if self._running else None
        while (row := self._next_row()) is not None:
            ran = self._fill(row)
            budget = None if budget is None else budget - ran
            if (budget is not None and budget <= 0) or row.request.cancelled or row.request.overdue:
                break
        if self._running:
            self._decode()

    def _drop_unwanted(self) -> None:
        for row in [*self._running, *([self._filling] if self._filling else [])]:
            if row.request.cancelled or row.request.overdue:
                if not row.request.cancelled:
                    row.request.failed(too_late())
                    row.request.cancel()
                self._leave(row)
        with self._changed:
            for request in [waiting for waiting in self._waiting if waiting.cancelled or waiting.overdue]:
                self._waiting.remove(request)
                if not request.cancelled:
                    request.failed(too_late())

    def _next_row(self) -> Row | None:
        """The row to be filled: the one begun, else one of the request whose turn it is, if there is room for it."""
        if self._filling is not None:
            return self._filling
        with self._changed:
            if not self._waiting or not self._has_room(self._waiting[0].waiting[0]):
                return None
            request = self._waiting.popleft()
            row = request.waiting.popleft()
            if request.waiting:
                self._waiting.append(request)  # the others' turn: a large batch does not keep a single question waiting
        self._filling = row
        return row

    def _has_room(self, row: Row) -> bool:
        rows = len(self._running) + 1
        longest = max([row.most, *(other.most for other in self._running)])
        return rows == 1 or (rows <= self._limits.rows and rows * longest <= self._limits.tokens)

    def _fill(self, row: Row) -> int:
        """Run the next chunk of a prompt and return its length; the last one gives the first token."""
        slot, prefix = len(self._running), row.request.prefix
        if prefix is not None and row.filled == 0 and id(row.adapter) in prefix.saved:
            self._slots.restore(slot, prefix.saved[id(row.adapter)])
            row.filled = prefix.length
        stop = min(len(row.ids), row.filled + CHUNK)
        if prefix is not None and row.filled < prefix.length:
            stop = min(stop, prefix.length)
        ids = row.ids[row.filled : stop]
        positions = torch.arange(row.filled, stop)[None]
        logits = self._forward([ids], positions, slot, stop, [row])
        row.filled = stop
        if prefix is not None and stop == prefix.length:
            prefix.saved.setdefault(id(row.adapter), self._slots.save(slot, stop))
        if stop == len(row.ids):
            self._filling = None
            self._running.append(row)
            self._take(row, logits[0])
        return len(ids)

    def _decode(self) -> None:
        rows = list(self._running)
        positions = torch.tensor([[row.filled] for row in rows])
        longest = max(row.filled for row in rows) + 1
        end = -(-longest // PLACES_AT_ONCE) * PLACES_AT_ONCE
        logits = self._forward([[row.token] for row in rows], positions, 0, end, rows)
        for row in rows:
            row.filled += 1  # of all, before one leaves and another takes its slot
        for row, values in zip(rows, logits, strict=True):
            self._take(row, values)

    def _forward(self, ids: list[list[int]], positions: torch.Tensor, slot: int, end: int, rows: list[Row]) -> torch.Tensor:
        """Logits of each row's last token, float32 [rows, vocabulary]."""
        device = self._view.device
        positions = positions.to(device)
        self._slots.begin(slot, positions, end)
        with carrying(segments_of([row.adapter for row in rows])):
            output = self._view(
                input_ids=torch.tensor(ids, device=device),
                position_ids=positions,
                attention_mask=self._masks(positions, end, self._view.dtype),
                past_key_values=self._slots,
                use_cache=True,
                logits_to_keep=1,
            )
        last: torch.Tensor = output.logits[:, -1].float()
        return last

    def _take(self, row: Row, logits: torch.Tensor) -> None:
        try:
            row.token = row.speech.take(logits)
        except GenerationError as error:
            row.request.failed(error)
            row.request.cancel()
            self._leave(row)
            return
        row.request.heard(row)
        if row.speech.over:
            self._leave(row)
            row.request.ended(row)

    def _leave(self, row: Row) -> None:
        """Free a row's slot: the last one moves there, and the one that is being filled behind it."""
        if row is self._filling:
            self._filling = None
            return
        slot, last = self._running.index(row), len(self._running) - 1
        if slot != last:
            moved = self._running[last]
            self._slots.move(last, slot, moved.filled)
            self._running[slot] = moved
        self._running.pop()
        if self._filling is not None and self._filling.filled:
            self._slots.move(last + 1, last, self._filling.filled)

    def _fail_all(self, error: GenerationError) -> None:
        with self._changed:
            rows = [*self._running, *([self._filling] if self._filling else [])]
            requests = {id(request): request for request in (*(row.request for row in rows), *self._waiting)}
            self._running, self._filling = [], None
            self._waiting.clear()
            self._slots = Slots(self._layers)
        for request in requests.values():
            request.failed(error)
