"""Keys of named services, by detect-secrets' detectors: only those that know a format, not the ones that guess from entropy.

Their patterns are used to find places in running text. Nothing is ever verified: that would send a found key to its service.
"""

import functools
import importlib
import re
from collections.abc import Iterator

from seal_agent.privacy.kinds import Detection, Kind

DETECTORS: dict[str, tuple[str, Kind]] = {
    "artifactory": ("ArtifactoryDetector", "api_key"),
    "aws": ("AWSKeyDetector", "api_key"),
    "azure_storage_key": ("AzureStorageKeyDetector", "api_key"),
    "basic_auth": ("BasicAuthDetector", "password"),
    "cloudant": ("CloudantDetector", "api_key"),
    "discord": ("DiscordBotTokenDetector", "api_key"),
    "github_token": ("GitHubTokenDetector", "api_key"),
    "gitlab_token": ("GitLabTokenDetector", "api_key"),
    "ibm_cloud_iam": ("IbmCloudIamDetector", "api_key"),
    "ibm_cos_hmac": ("IbmCosHmacDetector", "api_key"),
    "jwt": ("JwtTokenDetector", "access_token"),
    "mailchimp": ("MailchimpDetector", "api_key"),
    "npm": ("NpmDetector", "api_key"),
    "openai": ("OpenAIDetector", "api_key"),
    "private_key": ("PrivateKeyDetector", "private_key"),
    "pypi_token": ("PypiTokenDetector", "api_key"),
    "sendgrid": ("SendGridDetector", "api_key"),
    "slack": ("SlackDetector", "api_key"),
    "softlayer": ("SoftlayerDetector", "api_key"),
    "square_oauth": ("SquareOAuthDetector", "api_key"),
    "stripe": ("StripeDetector", "api_key"),
    "telegram_token": ("TelegramBotTokenDetector", "api_key"),
    "twilio": ("TwilioKeyDetector", "api_key"),
}
"""Module under `detect_secrets.plugins` -> its class, and the kind of what it finds."""

BY_GROUP = frozenset({"detect-secrets:Basic Auth Credentials", "detect-secrets:AWS Access Key"})
"""Their pattern's group is the secret, where it has one; the others' groups are prefixes."""
AROUND = " \t\r\n\"'=:"
"""Separators that some patterns take with the key."""


@functools.lru_cache(maxsize=1)
def patterns() -> tuple[tuple[re.Pattern[str], Kind, str], ...]:
    """Every pattern with its kind and the detector's name."""
    found: list[tuple[re.Pattern[str], Kind, str]] = []
    for module, (name, kind) in DETECTORS.items():
        detector = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        found += [(pattern, kind, f"detect-secrets:{detector.secret_type}") for pattern in detector.denylist]
    return tuple(found)


def keys(text: str) -> Iterator[Detection]:
    for pattern, kind, detector in patterns():
        for match in pattern.finditer(text):
            group = 1 if detector in BY_GROUP and match.lastindex else 0
            found = match.group(group)
            start = match.start(group) + len(found) - len(found.lstrip(AROUND))
            yield Detection(kind=kind, start=start, end=start + len(found.strip(AROUND)), detector=detector)
