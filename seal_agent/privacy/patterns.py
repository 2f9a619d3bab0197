"""Formats that neither library knows, and how people say their passwords in a sentence.

Each pattern says where its format is described. The group `secret`, where there is one, is what is taken out; else the whole match.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from seal_agent.privacy.kinds import Detection, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPattern:
    """One format. `trigger`, in lower case, occurs in every text that matches: looking for it is cheaper than matching."""

    name: str
    kind: Kind
    trigger: tuple[str, ...]
    regex: re.Pattern[str]


def own(name: str, kind: Kind, trigger: str, regex: str, flags: int = 0) -> OwnPattern:
    return OwnPattern(name=name, kind=kind, trigger=tuple(trigger.split("|")), regex=re.compile(regex, flags))


KEY = r"(?<![A-Za-z0-9])"
"""Where a key may begin."""
NO_VALUE = (
    r"(?!(?:not|no|now|wrong|incorrect|invalid|expired|required|missing|needed|unknown|gone|lost|secret|safe|secure|strong|weak|new|old|"
    r"same|different|ok|okay|fine|good|bad|too|very|so|still|always|never|also|being|been|empty|blank|stored|saved|written|set|changed|"
    r"reset|resetting|correct|right|working|locked|blocked|due|here|there|below|above|this|that|these|those|it|its|the|a|an|my|your|our|"
    r"his|her|their|in|on|at|by|for|from|with|about|something|anything|nothing|what|which|where|why|how|case|only|just|really|easy|"
    r"hard|long|short|optional|mandatory|temporary|permanent|encrypted|hashed|protected|complicated|confidential|private|public|"
    r"requested|accepted|rejected|refused|sent|coming|mine|yours|redacted)\b)"
)
"""Words that say something about a password instead of being one."""
SAID = (
    r"(?:\s+(?:for|to|of|on|at)(?:\s+[\w'’.-]+){1,4}?)?"
    r"(?:\s*(?:[:=]|=>)\s*|['’]s\s+|\s+(?:is|was|are|will\s+be|ist|lautet)\s*(?:now\s+|still\s+|just\s+)?:?\s*)"
)
"""Between "password" and the password: a colon, or "for the router is"."""
QUOTED = r"[\"'“‘`]?"
TELLING_VALUE = r"(?=[^\s]*[\d!#$%&*+=@^_~?-])[^\s\"'”’`,;<>]{4,128}(?<![.!?])"
"""Holds a digit or a symbol, as words of a sentence do not."""
PLAIN_VALUE = r"[^\W\d_]{5,64}(?=[\"'”’`]|[.,;!]?\s*$|[.!]\s|\n)"
"""A plain word counts where it ends the sentence."""

PASSWORDS = "password|passwort|passphrase|passwd|passcode|pwd|contraseña|mot de passe"
PATTERNS: tuple[OwnPattern, ...] = (
    # RFC 7468 (PEM), RFC 4253 and openssh-key-v1, RFC 9580 (PGP armor): from the header to the end line, or as far as the text goes.
    own(
        "private key block",
        "private_key",
        "private key",
        r"-----BEGIN (?:[A-Z0-9 ]{0,30} )?PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END).){0,20000}(?:-----END [A-Z0-9 ]{0,40}-----)?",
        re.DOTALL,
    ),
    # BIP 39: 12 to 24 words of 3 to 8 letters.
    own(
        "recovery phrase",
        "private_key",
        "phrase|mnemonic|recovery words",
        r"\b(?:seed|recovery|backup|mnemonic)(?:\s+(?:phrase|words|seed))?\b[^\n:]{0,30}?(?::|\bis\b)\s*[\"'“]?"
        r"(?P<secret>(?:[a-z]{3,8}[ ,]\s*){11,23}[a-z]{3,8})\b",
        re.IGNORECASE,
    ),
    # platform.openai.com, console.anthropic.com, openrouter.ai, platform.deepseek.com: "sk-" and a long random part.
    own("sk- key", "api_key", "sk-", KEY + r"sk-(?:(?:proj|svcacct|admin|ant|or|live|test)-)?[A-Za-z0-9_-]{16,256}"),
    # docs.stripe.com/keys: secret, restricted, publishable; live and test.
    own("Stripe key", "api_key", "_live_|_test_", KEY + r"(?:sk|rk|pk|whsec)_(?:live|test)_[0-9A-Za-z]{10,256}"),
    # docs.github.com, "fine-grained personal access token".
    own("GitHub fine-grained token", "api_key", "github_pat_", KEY + r"github_pat_[A-Za-z0-9_]{20,255}"),
    # docs.github.com, token prefixes; shorter and longer than detect-secrets' exact 36.
    own("GitHub token", "api_key", "ghp_|gho_|ghu_|ghs_|ghr_", KEY + r"gh[pousr]_[A-Za-z0-9_]{20,255}"),
    # docs.gitlab.com, "token prefixes".
    own("GitLab token", "api_key", "gl", KEY + r"gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_-]{16,255}"),
    # cloud.google.com/docs/authentication/api-keys.
    own("Google API key", "api_key", "aiza", KEY + r"AIza[0-9A-Za-z_-]{30,40}"),
    # developers.google.com/identity/protocols/oauth2: access tokens and client secrets.
    own("Google OAuth", "access_token", "ya29.|gocspx-", KEY + r"(?:ya29\.[0-9A-Za-z_-]{20,1024}|GOCSPX-[A-Za-z0-9_-]{20,64})"),
    # huggingface.co/docs/hub/security-tokens.
    own("Hugging Face token", "api_key", "hf_", KEY + r"hf_[A-Za-z0-9]{20,64}"),
    # api.slack.com/authentication/token-types: app-level, configuration and refresh tokens too.
    own("Slack token", "api_key", "xox|xapp-", KEY + r"(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{10,255}"),
    # docs.npmjs.com/about-access-tokens.
    own("npm token", "api_key", "npm_", KEY + r"npm_[A-Za-z0-9]{30,64}"),
    # docs.aws.amazon.com/IAM, "unique identifiers"; the secret has 40 characters and no prefix.
    own("AWS key id", "api_key", "akia|asia|abia|acca", KEY + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,20}(?![A-Za-z0-9])"),
    own(
        "AWS secret key",
        "api_key",
        "aws",
        r"(?i:aws[\w .-]{0,30}secret[\w .-]{0,20}?)[\"']?\s*(?:=|:|\bis\b)\s*[\"']?(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    # docs.digitalocean.com, help.shopify.com, docs.databricks.com, console.groq.com, developers.notion.com, linear.app/developers, fly.io.
    own(
        "service key with a prefix",
        "api_key",
        "_v1_|shpat_|shpss_|shpca_|shppa_|dapi|gsk_|secret_|ntn_|lin_api_|fo1_|r8_|pplx-|xai-|tvly-|nvapi-",
        KEY + r"(?:do[opr]_v1_[a-f0-9]{32,64}|shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{32}|dapi[a-f0-9]{32}|gsk_[A-Za-z0-9]{40,60}"
        r"|(?:secret|ntn)_[A-Za-z0-9]{40,60}|lin_api_[A-Za-z0-9]{32,48}|fo1_[A-Za-z0-9_-]{32,64}|r8_[A-Za-z0-9]{32,48}"
        r"|(?:pplx|xai|tvly|nvapi)-[A-Za-z0-9_-]{24,120})",
    ),
    # RFC 7519: three parts in base64url, the first two being JSON objects.
    own("JWT", "access_token", "eyj", KEY + r"eyJ[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{4,4096}(?:\.[A-Za-z0-9_-]{0,2048})?"),
    # RFC 6750 and RFC 7617.
    own("bearer token", "access_token", "bearer", r"(?i:\bbearer)\s+(?P<secret>[A-Za-z0-9._~+/-]{12,4096}=*)"),
    own("basic credentials", "password", "basic ", r"(?i:\bauthorization:\s*basic)\s+(?P<secret>[A-Za-z0-9+/]{8,1024}={0,2})"),
    # RFC 3986, userinfo; any scheme (postgres, mongodb+srv, amqp, https).
    own(
        "password in a URL",
        "password",
        "://",
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,128}:(?P<secret>[^\s@/\"'<>]{1,128})@[^\s\"'<>]{1,255}",
        re.IGNORECASE,
    ),
    # learn.microsoft.com, "connection string syntax"; also key=value lists of libpq.
    own(
        "password in a connection string",
        "password",
        "password=|pwd=|password =|pwd =|accountkey=|sharedaccesskey=",
        r"\b(?:password|pwd|accountkey|sharedaccesskey)\s*=\s*(?P<secret>[^;\s\"']{3,256})",
        re.IGNORECASE,
    ),
    # What people say: "my wifi password is correct-horse", "password for the portal: Tr0ub4dor".
    own(
        "password phrase",
        "password",
        PASSWORDS,
        rf"\b(?:{PASSWORDS})\b{SAID}{QUOTED}{NO_VALUE}(?P<secret>{TELLING_VALUE}|{PLAIN_VALUE})",
        re.IGNORECASE | re.MULTILINE,
    ),
    own(
        "password beside its word",
        "password",
        PASSWORDS,
        rf"\b(?:{PASSWORDS})\s+{QUOTED}(?P<secret>(?=[^\s]*\d)(?=[^\s]*[^\W\d])[^\s\"'”’`,;<>]{{5,128}}(?<![.!?]))",
        re.IGNORECASE,
    ),
    own(
        "key or token phrase",
        "api_key",
        "key|token|secret",
        r"\b(?:(?:api|access|secret|client|auth|private|session|refresh|deploy|encryption|master|licen[cs]e|webhook|signing)[ _-]?"
        r"(?:key|token|secret)|token|secret|apikey)\b[\"']?"
        rf"{SAID}{QUOTED}{NO_VALUE}(?P<secret>(?=[^\s]*\d)(?=[^\s]*[^\W\d])[^\s\"'”’`,;<>]{{6,512}}(?<![.!?]))",
        re.IGNORECASE,
    ),
    # ISO 9564 (PIN: 4 to 12 digits), card verification codes (3 or 4), one-time codes (RFC 4226: 6 to 8).
    own(
        "PIN or code",
        "password",
        "pin|otp|cvv|cvc|code|passcode",
        r"\b(?:pin(?:\s+(?:code|number))?|otp|cvv2?|cvc2?|passcode|(?:security|verification|one[ -]time|login|2fa|auth\w*|unlock|alarm|"
        rf"card|access|door|gate)\s+code)\b{SAID}{QUOTED}(?P<secret>\d(?:[ -]?\d){{2,11}})\b",
        re.IGNORECASE,
    ),
    # ITU-T E.164: a plus and at most 15 digits; also numbers that no carrier has given out, which presidio leaves.
    own("E.164 number", "phone", "+", r"(?<![\w+])\+\d(?:[ ().-]{0,2}\d){7,14}(?!\d)"),
    own(
        "birth date",
        "birth_date",
        "born|birth|dob",
        r"\b(?i:born|date of birth|birth ?date|birthday|dob)\b[^\d\n]{0,20}(?P<secret>\d{1,2}\s?[./-]\s?\d{1,2}\s?[./-]\s?(?:\d{4}|\d{2})\b"
        r"|\d{4}-\d{2}-\d{2}\b|\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?[A-Z][a-z]{2,8}\.?,?\s+\d{4}\b)"
        r"|\b(?i:born|date of birth|birth ?date|birthday|dob)\b[^\d\n]{0,12}?"
        r"(?P<spoken>\b[A-Z][a-z]{2,8}\s+\d{1,2}(?:st|nd|rd|th)?,?\s+\d{4}\b)",
    ),
)
"""Matched by piece of text, see `scan.py`; every repetition is bounded."""
CONFIDENTIAL = re.compile(
    r"\b(?:off the record|between you and (?:me|I)|(?:just|strictly|stays) between (?:us|ourselves)"
    r"|in (?:strict(?:est)? )?confidence|strictly confidential"
    r"|(?:this|that|it)(?:'s|’s| is) (?:a secret|confidential)|keep (?:this|that|it) (?:secret|private|confidential|to yourself|quiet)"
    r"|(?:do not|don['’]t|please never|never) (?:tell|share|repeat|store|save|remember|record|write) (?:this|that|it)\b"
    r"|(?:do not|don['’]t) tell (?:anyone|anybody|a soul))\b",
    re.IGNORECASE,
)
"""The speaker says that a turn is not for others: the whole turn is kept out of training."""


def own_patterns(text: str, lowered: str) -> Iterator[Detection]:
    """Detections in one piece of text; `lowered` is the same in lower case."""
    for one in PATTERNS:
        if any(trigger in lowered for trigger in one.trigger):
            for match in one.regex.finditer(text):
                group = next((name for name in ("secret", "spoken") if match.groupdict().get(name)), 0)
                yield Detection(kind=one.kind, start=match.start(group), end=match.end(group), detector=f"seal:{one.name}")
