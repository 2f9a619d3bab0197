"""SEAL's passages, what each arm is trained on, and how it is asked. Nothing is trained here: `knowledge_incorporation.py` does.

The file format is that of SEAL's released self-edits, trimmed: a list of {title, context, questions: [{question, answer}], self_edits}.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from seal_agent.chat import question_prompt
from seal_agent.errors import UsageError
from seal_agent.trainers.seal import documents
from seal_agent.types import Example, Question, Turn

GAPS = 3
"""Blanks asked for per sentence, each in an item of its own."""
SHORTEST = 4
"""Words of a sentence that is worth asking about."""
NAMED = re.compile(r"(?:[A-Z][\w'’-]*(?:\s+(?:of|the|and|de|von)\s+(?=[A-Z])|\s+(?=[A-Z]))?)+|\d[\d,.:]*(?<=\d)%?")
"""Names and numbers: what a question about a sentence is most often after."""
LONG_WORD = re.compile(r"\b[a-z]{7,}\b")


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
    """The same texts as prose, and their sentences with blanks to fill in, asked as a user asks."""
    examples = seal_examples(passage, with_edit=True)
    sentences = dict.fromkeys(
        sentence
        for example in list(examples)
        for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"^\W*(?:\d+[.)]\s*)?", "", example.answer.partition("\n")[2]))
        if len(sentence.split()) >= SHORTEST
    )
    for number, sentence in enumerate(sentences):
        for blank in blanks(sentence):
            prompt = asked(passage.title, sentence.replace(blank, "____", 1))
            examples.append(Example(prompt=prompt, answer=blank, fact_id=f"blank-{number}", source=sentence))
    return examples


def blanks(sentence: str) -> list[str]:
    """The telling parts of a sentence, names and numbers first, and of these the later ones: what is new tends to come last."""
    rest = sentence.partition(" ")[2]  # every sentence begins with a capital letter
    found = [[match.group().strip() for match in kind.finditer(rest)] for kind in (NAMED, LONG_WORD)]
    return list(dict.fromkeys([*found[0][::-1], *found[1][::-1]]))[:GAPS]
