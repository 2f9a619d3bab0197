"""Names the suites that ran, with their counts, at the end of the output: which of them are LangChain's own can be seen there."""

from collections import Counter

import pytest


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write one line per suite under tests/integrations: a test class, else a file."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            suite = suite_of(getattr(report, "nodeid", ""))
            if suite is not None:
                counts.setdefault(suite, Counter())[outcome] += 1
    if counts:
        terminalreporter.section("integration suites")
    for suite, outcomes in sorted(counts.items()):
        terminalreporter.write_line(f"{suite}: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.items())}")


def suite_of(nodeid: str) -> str | None:
    """File and class of a test of this folder; of another, None."""
    path, _, test = nodeid.partition("::")
    if not path.startswith("tests/integrations/"):
        return None
    suite = path.removeprefix("tests/integrations/").removesuffix(".py")
    return f"{suite} {test.split('::')[0]}" if "::" in test else suite
