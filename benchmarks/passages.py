"""SEAL's passages, what each arm is trained on, and how it is asked. Nothing is trained here: `knowledge_incorporation.py` does.

The file format is that of SEAL's released self-edits, trimmed: a list of {title, context, questions: [{question, answer}], self_edits}.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from seal_agent.chat import question_prompt
from seal_agent.consolidation.self_edit import LEAK, overlap
from seal_agent.consolidation.sentences import content_words
from seal_agent.errors import UsageError
from seal_agent.trainers.seal import documents
from seal_agent.types import Example, Question, Turn

CUES = 2
"""Ways to ask for each sentence, each in an item of its own and with its own share of the sentence's telling words."""
SHORTEST = 4
"""Words of a sentence that is worth asking about."""
PAIR = re.compile(r"Question(?: \d+)?:[\s*]*(.+?)[\s*]*Answer(?: \d+)?:[\s*]*(.+?)(?=[\s*-]*(?:Question(?: \d+)?:|\Z))", re.DOTALL)
"""A question with its answer, marked as writers mark them, with Markdown around it or without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One passage with its questions and the first self-edit of one writer."""

    title: str
    text: str
    questions: tuple[Question, ...]
    self_edit: str


def read(file: Path, count: int) -> list[Passage]:
    """Read the first `count` passages; raise `UsageError` for a file of another kind."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))[:count]
        return [
            Passage(
                title=row["title"],
                text=row["context"],
                questions=tuple(
                    Question(id=f"{place}-{number}", text=asked["question"], answers=(asked["answer"],))
                    for number, asked in enumerate(row["questions"])
                ),
                self_edit=row["self_edits"][0],
            )
            for place, row in enumerate(rows)
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{file} is no file of passages with self-edits: {error!r}") from error


def asked(title: str, question: str) -> tuple[Turn, ...]:
    """SEAL's question without the passage, as a chat."""
    return question_prompt("", f"Let's answer a question directly and concisely.\nQuestion: Topic: {title}\n{question}")


def seal_examples(passage: Passage, *, with_edit: bool) -> list[Example]:
    """SEAL's documents; without the self-edit the passage alone."""
    texts = documents(passage.title, passage.text, passage.self_edit if with_edit else "")
    return [Example(prompt=(), answer=text, fact_id=str(number)) for number, text in enumerate(texts)]


def our_examples(passage: Passage) -> list[Example]:
    """The sentences of the same texts, each asked for by some of its telling words, as a question names some of what its answer says.

    The whole sentence is the answer, as nights teach facts: it holds whatever else may be asked of it. A self-edit of questions and answers
    is taken as that; by sentences would ask for the questions.
    """
    pairs = PAIR.findall(passage.self_edit)
    told = sentences(replace(passage, self_edit="") if pairs else passage)
    return [
        *(
            Example(prompt=asked(passage.title, question), answer=answer, fact_id=f"pair-{number}", source=answer)
            for number, (question, answer) in enumerate(pairs)
        ),
        *(
            Example(prompt=asked(passage.title, cue), answer=sentence, fact_id=f"sentence-{number}", source=sentence)
            for number, sentence in enumerate(told)
            for cue in cues(sentence)
        ),
    ]


def sentences(passage: Passage) -> list[str]:
    """The sentences of the passage and of the self-edit that are worth asking about, those that say the same once."""
    found: list[str] = []
    for text in [passage.text, *(example.answer.partition("\n")[2] for example in seal_examples(passage, with_edit=True))]:
        for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"^\W*(?:\d+[.)]\s*)?", "", text)):
            if len(sentence.split()) >= SHORTEST and all(overlap(sentence, other) < LEAK for other in found):
                found.append(sentence)
    return found


def cues(sentence: str) -> list[str]:
    """The telling words shared out among the questions, so that no question holds all of them."""
    telling = list(dict.fromkeys(content_words(sentence)))
    return [f"What about {' '.join(telling[first::CUES])}?" for first in range(CUES) if telling[first::CUES]]
