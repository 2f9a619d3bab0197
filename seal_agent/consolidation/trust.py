"""What must never become training material, whoever said it: secrets, and text that gives orders to the trainer or the model.

Patterns only, as a last line behind `privacy/`, whose marks for what it found are refused here too.
"""

import re

from seal_agent.consolidation.orders import is_order

SECRET = re.compile(
    r"\b(?:password|passwort|passcode|pin(?: code)?|secret|api[ _-]?key|token|cvv|otp)\b"
    r"(?:\s*[:=]|['’]s\b|\s*(?:(?:for|to|of|on|at)\s+(?:[\w'’-]+\s+){1,4})?(?:is|are|was|ist)\b)"
    r"|\b(?:password|passwort|passcode|pin)\s+(?=\S*\d)\S{4,}"
    r"|\b(?:sk|pk|gh[a-z]|github_pat|glpat|hf|xox[a-z]|AKIA|AIza|eyJ)[-_]?[A-Za-z0-9_-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(?:\d[ -]?){13,19}\b"
    r"|(?-i:\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b)|\b[A-Z]{2}\d{14,30}\b"
    r"|\b\d{3}-\d{2}-\d{4}\b"
    r"|\b[\w.+-]+@[\w-]+\.[\w.]+\b"
    r"|\bbearer [A-Za-z0-9._-]{12,}"
    r"|\[redacted: \w+\]",
    re.IGNORECASE,
)


def refusal(text: str) -> str | None:
    """Why a text can't be learnt, or None: "secret" or "order"."""
    if SECRET.search(text):
        return "secret"
    return "order" if is_order(text) else None
