"""Planted secrets and personal data, made up from a seed: the formats are those of the services and registries, the values are nobody's.

Written with generators, so that no scanner for leaked secrets finds one in this file.
"""

import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from seal_agent.privacy.kinds import Kind

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A sentence somebody says, and the part of it that must not get out."""

    kind: Kind
    form: str
    text: str
    secret: str


def luhn(digits: str) -> str:
    """The digits with their check digit (ISO/IEC 7812)."""
    total = sum(sum(divmod(int(d) * (2 - place % 2), 10)) for place, d in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


def iban(country: str, account: str) -> str:
    """With its check digits (ISO 13616)."""
    number = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02d}{account}"


def grouped(text: str, size: int, by: str = " ") -> str:
    return by.join(text[start : start + size] for start in range(0, len(text), size))


def nhs(order: random.Random) -> str:
    """With its check digit (NHS data dictionary): weights 10 to 2, modulo 11; a remainder that gives ten is not issued."""
    while True:
        digits = "".join(order.choices(string.digits, k=9))
        check = -sum(int(d) * (10 - place) for place, d in enumerate(digits)) % 11
        if check < 10:
            return f"{digits[:3]} {digits[3:6]} {digits[6:]}{check}"


Maker = Callable[[random.Random], str]


def some(alphabet: str, count: int) -> Maker:
    return lambda order: "".join(order.choices(alphabet, k=count))


def after(prefix: str, alphabet: str, count: int) -> Maker:
    return lambda order: prefix + "".join(order.choices(alphabet, k=count))


def joined(*makers: Maker | str) -> Maker:
    return lambda order: "".join(maker if isinstance(maker, str) else maker(order) for maker in makers)


def strong_password(order: random.Random) -> str:
    return f"{order.choice(['Blue', 'Otter', 'Maple', 'Quartz'])}{order.choice('!$%&#')}{order.randrange(100, 9999)}{order.choice(LETTERS)}"


WORDS = [
    "amber",
    "basin",
    "cedar",
    "dozen",
    "ember",
    "fable",
    "gravel",
    "harbor",
    "island",
    "jungle",
    "kettle",
    "ladder",
    "magnet",
    "noodle",
    "orchid",
    "pepper",
    "quiver",
    "ribbon",
]
CALM = ("correcthorse", "sunflower", "buttercup", "rumpelstilz", "blueberries", "nightingale", "zanzibar", "marmalade")

FORMS: tuple[tuple[Kind, str, Maker, tuple[str, ...]], ...] = (
    ("api_key", "AWS key id", after("AKIA", string.ascii_uppercase + string.digits, 16), ("the key id is {}", "use {} for the bucket")),
    (
        "api_key",
        "AWS secret key",
        some(LETTERS + "/+", 40),
        ("aws_secret_access_key = {}", "our AWS secret access key is {}, don't lose it"),
    ),
    ("api_key", "GitHub token", after("ghp_", LETTERS, 36), ("here's the token {}", "git clone with {} please")),
    ("api_key", "GitHub fine-grained token", after("github_pat_", LETTERS + "_", 82), ("I made {} for you",)),
    ("api_key", "GitLab token", after("glpat-", LETTERS, 20), ("CI needs {}", "it's {} on our GitLab")),
    ("api_key", "OpenAI key", after("sk-" + "proj-", LETTERS + "-_", 60), ("my key is {}", "OPENAI_API_KEY={}")),
    ("api_key", "Anthropic key", after("sk-" + "ant-api03-", LETTERS + "-_", 80), ("try {} instead",)),
    ("api_key", "Stripe key", after("sk_" + "live_", LETTERS, 24), ("we bill with {}", "Stripe says {}")),
    ("api_key", "Google API key", after("AIza" + "Sy", LETTERS, 33), ("the maps key: {}", "put {} into the page")),
    (
        "api_key",
        "Slack token",
        joined("xox" + "b-", some(string.digits, 12), "-", some(LETTERS, 24)),
        ("the bot uses {}",),
    ),
    ("api_key", "Hugging Face token", after("hf_", string.ascii_letters, 34), ("log in with {}",)),
    ("api_key", "npm token", after("npm_", LETTERS, 36), ("publish with {}",)),
    ("api_key", "SendGrid key", joined("SG.", some(LETTERS, 22), ".", some(LETTERS, 43)), ("mail goes out through {}",)),
    ("api_key", "Twilio key", after("SK", HEX, 32), ("texting runs on {}",)),
    ("api_key", "Telegram bot token", joined(some("123456789", 9), ":", some(LETTERS, 35)), ("the bot is {}",)),
    (
        "api_key",
        "key phrase",
        some(LETTERS + "7", 20),
        ("the API key for the printer is {}7a", "client_secret: {}3b", "my access token is {}5c"),
    ),
    (
        "access_token",
        "JWT",
        joined("eyJ", some(LETTERS, 20), ".eyJ", some(LETTERS, 40), ".", some(LETTERS + "-_", 43)),
        ("the cookie says {}", "it sends {} along"),
    ),
    ("access_token", "bearer token", some(LETTERS, 40), ("Authorization: Bearer {}", "curl -H 'Authorization: Bearer {}' gave 401")),
    (
        "private_key",
        "PEM private key",
        joined(
            "-----BEGIN RSA " + "PRIVATE KEY-----\n", some(LETTERS + "/+", 64), "\n", some(LETTERS, 30), "=\n-----END RSA PRIVATE KEY-----"
        ),
        ("here it is:\n{}\nthanks",),
    ),
    ("private_key", "recovery phrase", lambda order: " ".join(order.sample(WORDS, 12)), ("my seed phrase is: {}",)),
    (
        "password",
        "password with a digit or symbol",
        strong_password,
        ("my password is {}", "the password for the router: {}", "password {} works"),
    ),
    ("password", "password that is a plain word", lambda order: order.choice(CALM), ("the wifi password is {}", "my passphrase is {}.")),
    ("password", "PIN", some(string.digits, 4), ("my PIN is {}", "the PIN code for the card is {}, ok?")),
    ("password", "one-time or security code", some(string.digits, 6), ("the verification code is {}", "OTP: {}", "alarm code is {}")),
    (
        "password",
        "password in a URL",
        strong_password,
        ("postgres://app:{}@db.example.org/prod", "it's on https://bo:{}@files.example.net/x"),
    ),
    ("password", "password in a connection string", strong_password, ("Server=db;User Id=app;Password={};Encrypt=yes",)),
    ("credit_card", "Visa", lambda o: luhn("4" + "".join(o.choices(string.digits, k=14))), ("charge {} then", "card {} exp 04/29")),
    (
        "credit_card",
        "Mastercard in groups",
        lambda o: grouped(luhn("5" + o.choice("12345") + "".join(o.choices(string.digits, k=13))), 4),
        ("my card is {}",),
    ),
    ("bank_account", "IBAN", lambda o: iban("DE", "".join(o.choices(string.digits, k=18))), ("refund to {}", "IBAN {} please")),
    (
        "bank_account",
        "IBAN in groups",
        lambda o: grouped(iban("NL", "ABNA0" + "".join(o.choices(string.digits, k=9))), 4),
        ("pay into {}",),
    ),
    (
        "national_id",
        "US social security number",
        lambda o: f"{o.randrange(100, 665):03d}-{o.randrange(10, 99)}-{o.randrange(1000, 9999)}",
        ("my SSN is {}", "social security number {}"),
    ),
    (
        "national_id",
        "UK national insurance number",
        lambda o: (
            f"{o.choice('ABCEGHJ')}{o.choice('LMPRS')} {o.randrange(10, 99)} {o.randrange(10, 99)} {o.randrange(10, 99)} {o.choice('ABCD')}"
        ),
        ("my national insurance number is {}", "NI number {}"),
    ),
    ("national_id", "NHS number", nhs, ("my NHS number is {}",)),
    ("national_id", "passport number", some("123456789", 9), ("passport number {}", "my passport is {}")),
    ("email", "e-mail", joined(some(string.ascii_lowercase, 7), "@example.com"), ("write to {}", "{} is mine", "I'm at {}.")),
    ("phone", "international", joined("+44 20 7946 0", some("0123456789", 3)), ("call me on {}", "{} is my number")),
    ("phone", "US", lambda o: f"({o.choice(['212', '415', '617'])}) {o.randrange(200, 999)}-{o.randrange(1000, 9999)}", ("my cell is {}",)),
    ("ip_address", "IPv4", lambda o: ".".join(str(o.randrange(1, 254)) for _ in range(4)), ("the server is {}", "I see {} in the log")),
    (
        "birth_date",
        "birth date",
        lambda o: f"{o.randrange(1, 28)}/{o.randrange(1, 12)}/{o.randrange(1950, 2004)}",
        ("I was born on {}", "DOB: {}"),
    ),
    (
        "crypto_wallet",
        "Bitcoin address",
        lambda o: o.choice(["1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"]),
        ("send it to {}",),
    ),
)
"""(kind, form, how one is made, what people say around it). The Bitcoin addresses are public ones: their check sums can't be made up."""


def planted(count: int, seed: int = 0, kinds: frozenset[Kind] | None = None) -> Iterator[Planted]:
    """Yield `count` items, each form as often as any other."""
    order = random.Random(seed)
    forms = [form for form in FORMS if kinds is None or form[0] in kinds]
    for number in range(count):
        kind, form, make, frames = forms[number % len(forms)]
        secret = make(order)
        frame = frames[number // len(forms) % len(frames)]
        said = frame.format(secret)
        rest = said[frame.index("{}") + len(secret) :]
        if form == "key phrase":  # the frame adds two characters to the key
            secret += rest[:2]
        yield Planted(kind=kind, form=form, text=said, secret=secret)
