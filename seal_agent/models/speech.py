"""One answer while it is being said: from tokens to text, where it ends, and which token comes next.

Greedy and sampled choice are made row by row, from that row's logits and its own random numbers, so that nothing else in the batch
shows. Deliberately knows no model and no queue.
"""

from collections.abc import Collection

import torch
from transformers import PreTrainedTokenizerBase

from seal_agent.errors import GenerationError
from seal_agent.sampling import Sampling, cut_at
from seal_agent.types import Generation

HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer decodes to when a character's bytes are not all there yet."""


class Chooser:
    """Picks each next token of one answer."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = torch.Generator().manual_seed(sampling.seed)

    def choose(self, logits: torch.Tensor) -> int:
        """`logits` [vocabulary]; greedy at temperature 0, else from the nucleus (arXiv 1904.09751)."""
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        chances = torch.softmax(logits.double().cpu() / self._sampling.temperature, dim=-1)
        if self._sampling.top_p < 1:
            ordered, order = chances.sort(descending=True, stable=True)
            ordered[ordered.cumsum(0) - ordered >= self._sampling.top_p] = 0  # what comes before it has the share already
            return int(order[torch.multinomial(ordered, 1, generator=self._random)])
        return int(torch.multinomial(chances, 1, generator=self._random))


class Speech:
    """The tokens of one answer so far, and the text that may be shown of them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Collection[int], sampling: Sampling, most_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._ends = ends
        self._stops = sampling.stop
        self._most = most_tokens
        self._chooser = Chooser(sampling)
        self._kept: list[int] = []
        self._logprob = 0.0
        self._said = 0
        self._shown = ""
        self._stopped = False
        self.over = False

    def take(self, logits: torch.Tensor) -> int:
        """Choose the next token from the logits [vocabulary] and keep it; raise `GenerationError` when they are not finite."""
        normal = float(logits.logsumexp(dim=-1))
        if normal != normal or abs(normal) == float("inf"):
            raise GenerationError("The model's output is not finite: the base or the adapter is broken. Roll the adapter back.")
        token = self._chooser.choose(logits)
        self._logprob += float(logits[token]) - normal
        self._said += 1
        if token in self._ends:
            self.over = self._stopped = True
        else:
            self._kept.append(token)
            if self._stops and cut_at(self.text, self._stops)[1]:
                self.over = self._stopped = True
            elif len(self._kept) >= self._most:
                self.over = True
        return token

    @property
    def text(self) -> str:
        return str(self._tokenizer.decode(self._kept, skip_special_tokens=True)).strip()

    def piece(self) -> str:
        """Return what can be shown that was not shown before: nothing that a later token could take back."""
        text = self.result.text if self.over else self._settled()
        if not self.over and not text.startswith(self._shown):
            return ""  # the tokenizer wrote what came before anew; a later token or the end will tell
        piece, self._shown = text[len(self._shown) :], text
        return piece

    def _settled(self) -> str:
        text = self.text.rstrip(HALF_A_CHARACTER)
        held = max((overlap(text, stop) for stop in self._stops), default=0)
        return text[: len(text) - held]

    @property
    def result(self) -> Generation:
        text, _ = cut_at(self.text, self._stops)
        logprob = self._logprob / self._said if self._said else None
        return Generation(text=text, tokens=len(self._kept), finished=self._stopped, logprob=logprob)


def overlap(text: str, stop: str) -> int:
    """Length of the longest beginning of `stop` that `text` ends with."""
    return next((length for length in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:length])), 0)
