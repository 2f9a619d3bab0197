"""What the detectors find, what they mistake, and what a turn costs.

    python -m benchmarks.privacy [--quick] [--json] [--talk FILE ...]

Recall: self-written items of every form in `benchmarks/planted.py`, values drawn from a seed, in one to three frames each. They were
written beside the detectors, so this says that the known formats are found in running text, not what share of all secrets in the world.
Free forms: items that no pattern can know (a name, a street, digits in words); their recall is expected to be near zero and is shown.
False positives: detections on talk that holds none of it: the example data, and any JSON Lines or LoCoMo file given with `--talk`. Each is
printed by kind and detector, never by its text. `--quick` draws 4 items a form instead of 40.

`--json` prints one object on the last line:
  recall            per kind: found / planted; an item is found when one detection covers all of it, whatever its kind
  recall_free       the same per free form
  n, n_free         items planted
  turns, flagged    turns of talk, and those in which anything was found; flagged_by_kind counts them by kind
  ms_per_turn       processor milliseconds per turn of talk, ms_per_item the same per planted item (where detectors have work to do)
  first_ms          processor milliseconds of the first scan that needs every detector, loading included
  trials, seeds     1 and its seed
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.planted import FORMS, Planted, planted
from seal_agent.config import PrivacySettings
from seal_agent.privacy.scan import scan

EXAMPLES = Path(__file__).parents[1] / "examples" / "data"
PER_FORM, QUICK_PER_FORM = 40, 4
SEED = 3
FREE_FORMS: dict[str, tuple[tuple[str, str], ...]] = {
    "person's name": (("My neighbour Hedwig Brandauer has the key.", "Hedwig Brandauer"), ("Ask for Tomasz Wilk.", "Tomasz Wilk")),
    "street address": (("I'm at 14 Larch Close, Kelso.", "14 Larch Close"), ("Bring it to Via Dogana 8, Lecce.", "Via Dogana 8")),
    "digits in words": (("My PIN is four seven one one.", "four seven one one"), ("It's nine one, nine two.", "nine one, nine two")),
    "mail in words": (("Write to ana at example dot com.", "ana at example dot com"),),
    "password alone": (("hunter2", "hunter2"), ("It's Tr0ub4dor.", "Tr0ub4dor")),
    "key without a prefix": (("Use 9f8e7d6c5b4a39281706f5e4d3c2b1a0.", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"),),
    "health": (("I take lithium for my bipolar disorder.", "lithium"),),
}


def covers(item: Planted, settings: PrivacySettings) -> bool:
    start = item.text.index(item.secret)
    return any(one.start <= start and start + len(item.secret) <= one.end for one in scan(item.text, settings))


def recall(items: Iterable[Planted], settings: PrivacySettings) -> dict[str, float]:
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for item in items:
        found[item.kind].append(covers(item, settings))
    return {kind: round(sum(hits) / len(hits), 4) for kind, hits in sorted(found.items())}


def recall_free(settings: PrivacySettings) -> dict[str, float]:
    return {
        form: round(sum(covers(Planted(kind="custom", form=form, text=t, secret=s), settings) for t, s in items) / len(items), 4)
        for form, items in FREE_FORMS.items()
    }


def talk(files: Iterable[Path]) -> Iterator[str]:
    """Turns of JSON Lines with `turns`, or of a LoCoMo file."""
    for file in files:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            yield from (turn["content"] for line in text.splitlines() for turn in json.loads(line)["turns"])
        else:
            sessions = [part for one in json.loads(text) for part in one["conversation"].values() if isinstance(part, list)]
            yield from (turn["text"] for session in sessions for turn in session if "text" in turn)


def measure(per_form: int, files: list[Path]) -> dict[str, object]:
    settings = PrivacySettings()
    started = time.process_time()
    for item in planted(len(FORMS), SEED):
        scan(item.text, settings)
    first = time.process_time() - started
    items = list(planted(len(FORMS) * per_form, SEED))
    started = time.process_time()
    found = recall(items, settings)
    per_item = (time.process_time() - started) / len(items)
    turns = list(talk([EXAMPLES / "support_week.jsonl", EXAMPLES / "second_week.jsonl", *files]))
    started = time.process_time()
    flagged = [scan(turn, settings) for turn in turns]
    per_turn = (time.process_time() - started) / len(turns)
    return {
        "recall": found,
        "recall_free": recall_free(settings),
        "n": len(items),
        "n_free": sum(map(len, FREE_FORMS.values())),
        "turns": len(turns),
        "flagged": sum(map(bool, flagged)),
        "flagged_by_kind": dict(Counter(one.kind for some in flagged for one in some)),
        "ms_per_turn": round(1000 * per_turn, 4),
        "ms_per_item": round(1000 * per_item, 4),
        "first_ms": round(1000 * first, 1),
        "trials": 1,
        "seeds": [SEED],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What the detectors find, what they mistake, and what a turn costs.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PER_FORM} items a form.")
    parser.add_argument("--json", action="store_true", help="Print one line of JSON last.")
    parser.add_argument("--talk", type=Path, nargs="*", default=[], help="More conversations: JSON Lines with turns, or LoCoMo's JSON.")
    options = parser.parse_args()
    figures = measure(QUICK_PER_FORM if options.quick else PER_FORM, options.talk)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
