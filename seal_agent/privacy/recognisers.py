"""Personal data by presidio's pattern recognisers: mail, phone, card, bank and identity numbers of many countries.

No language model and no network: names and addresses are not found. A number that only looks like an identity number counts when one of
its recogniser's own context words stands near; this takes the place of presidio's context enhancer, which needs a spaCy pipeline for it.
"""

import functools
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seal_agent.privacy.kinds import Detection, Kind
from seal_agent.privacy.private_copy import PrivateCopy

PACKAGE = "presidio_analyzer"
CORE = ("analysis_explanation", "recognizer_result", "entity_recognizer", "local_recognizer", "pattern", "pattern_recognizer")
STAND_INS = {"nlp_engine": {"NlpArtifacts": object}}
"""Only named in type hints: no recogniser used here looks at language artefacts."""
GENERIC = "predefined_recognizers.generic"
COUNTRIES = "predefined_recognizers.country_specific"

Home = tuple[str, str]
"""(module below `predefined_recognizers`, class)"""
EMAIL: Home = (f"{GENERIC}.email_recognizer", "EmailRecognizer")
PHONE: Home = (f"{GENERIC}.phone_recognizer", "PhoneRecognizer")
ADDRESSES: tuple[Home, ...] = ((f"{GENERIC}.ip_recognizer", "IpRecognizer"), (f"{GENERIC}.mac_recognizer", "MacAddressRecognizer"))
MONEY: dict[Home, Kind] = {
    (f"{GENERIC}.credit_card_recognizer", "CreditCardRecognizer"): "credit_card",
    (f"{GENERIC}.iban_recognizer", "IbanRecognizer"): "bank_account",
    (f"{GENERIC}.crypto_recognizer", "CryptoRecognizer"): "crypto_wallet",
}
TELLING: tuple[Home, ...] = (
    (f"{COUNTRIES}.us.us_ssn_recognizer", "UsSsnRecognizer"),
    (f"{COUNTRIES}.italy.it_fiscal_code_recognizer", "ItFiscalCodeRecognizer"),
    (f"{COUNTRIES}.spain.es_nif_recognizer", "EsNifRecognizer"),
    (f"{COUNTRIES}.uk.uk_nino_recognizer", "UkNinoRecognizer"),
    (f"{COUNTRIES}.uk.uk_driving_licence_recognizer", "UkDrivingLicenceRecognizer"),
    (f"{COUNTRIES}.finland.fi_personal_identity_code_recognizer", "FiPersonalIdentityCodeRecognizer"),
)
"""Formats that hardly anything else has: found without a word beside them."""
WITH_CONTEXT: tuple[Home, ...] = (
    (f"{COUNTRIES}.australia.au_medicare_recognizer", "AuMedicareRecognizer"),
    (f"{COUNTRIES}.australia.au_tfn_recognizer", "AuTfnRecognizer"),
    (f"{COUNTRIES}.canada.ca_sin_recognizer", "CaSinRecognizer"),
    (f"{COUNTRIES}.germany.de_health_insurance_recognizer", "DeHealthInsuranceRecognizer"),
    (f"{COUNTRIES}.germany.de_id_card_recognizer", "DeIdCardRecognizer"),
    (f"{COUNTRIES}.germany.de_passport_recognizer", "DePassportRecognizer"),
    (f"{COUNTRIES}.germany.de_social_security_recognizer", "DeSocialSecurityRecognizer"),
    (f"{COUNTRIES}.germany.de_tax_id_recognizer", "DeTaxIdRecognizer"),
    (f"{COUNTRIES}.india.in_aadhaar_recognizer", "InAadhaarRecognizer"),
    (f"{COUNTRIES}.india.in_pan_recognizer", "InPanRecognizer"),
    (f"{COUNTRIES}.india.in_passport_recognizer", "InPassportRecognizer"),
    (f"{COUNTRIES}.italy.it_identity_card_recognizer", "ItIdentityCardRecognizer"),
    (f"{COUNTRIES}.italy.it_passport_recognizer", "ItPassportRecognizer"),
    (f"{COUNTRIES}.korea.kr_rrn_recognizer", "KrRrnRecognizer"),
    (f"{COUNTRIES}.nigeria.ng_nin_recognizer", "NgNinRecognizer"),
    (f"{COUNTRIES}.poland.pl_pesel_recognizer", "PlPeselRecognizer"),
    (f"{COUNTRIES}.singapore.sg_fin_recognizer", "SgFinRecognizer"),
    (f"{COUNTRIES}.south_africa.za_id_number_recognizer", "ZaIdNumberRecognizer"),
    (f"{COUNTRIES}.spain.es_nie_recognizer", "EsNieRecognizer"),
    (f"{COUNTRIES}.spain.es_passport_recognizer", "EsPassportRecognizer"),
    (f"{COUNTRIES}.sweden.se_personnummer_recognizer", "SePersonnummerRecognizer"),
    (f"{COUNTRIES}.turkey.tr_national_id_recognizer", "TrNationalIdRecognizer"),
    (f"{COUNTRIES}.uk.uk_nhs_recognizer", "NhsRecognizer"),
    (f"{COUNTRIES}.uk.uk_passport_recognizer", "UkPassportRecognizer"),
    (f"{COUNTRIES}.us.us_driver_license_recognizer", "UsLicenseRecognizer"),
    (f"{COUNTRIES}.us.us_itin_recognizer", "UsItinRecognizer"),
    (f"{COUNTRIES}.us.us_mbi_recognizer", "UsMbiRecognizer"),
    (f"{COUNTRIES}.us.us_passport_recognizer", "UsPassportRecognizer"),
    (f"{COUNTRIES}.us.us_ssn_recognizer", "UsSsnRecognizer"),
    (f"{COUNTRIES}.us.aba_routing_recognizer", "AbaRoutingRecognizer"),
    (f"{COUNTRIES}.us.us_bank_recognizer", "UsBankRecognizer"),
)
BANKS = frozenset({"AbaRoutingRecognizer", "UsBankRecognizer"})
VAGUE = frozenset({"id", "us", "united", "states", "travel", "number", "numbers", "check", "save", "debit", "association", "pass", "cc "})
"""Context words that say nothing about the number beside them. "pan" and "tin" stay: their patterns are narrow."""
BEFORE, AFTER = 60, 30
"""Characters around a match in which a context word counts."""
TELLING_SCORE = 0.4
"""Least of presidio's scores that needs no context word; below, the pattern is any run of digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A recogniser for one kind of number, and the words that must stand near, if any must."""

    recogniser: Any  # Any: presidio's classes, loaded at run time
    kind: Kind
    context: re.Pattern[str] | None = None

    @property
    def detector(self) -> str:
        return f"presidio:{self.recogniser.supported_entities[0]}"


class Recognisers:
    """All that are used, built once. Thread-safe: they hold compiled expressions only."""

    def __init__(self, copy: PrivateCopy | None, phone_regions: Sequence[str]) -> None:
        self._copy = copy
        # It reports what it could not parse, which may be a secret, by its text.
        logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
        self._email = Numbered(recogniser=self._email_offline(), kind="email")
        self._phone = Numbered(recogniser=self._class(PHONE)(supported_regions=tuple(phone_regions)), kind="phone")
        self._addresses = [Numbered(recogniser=self._class(home)(), kind="ip_address") for home in ADDRESSES]
        self._money = [Numbered(recogniser=self._class(home)(), kind=kind) for home, kind in MONEY.items()]
        self._telling = [Numbered(recogniser=self._class(home)(), kind="national_id") for home in TELLING]
        self._with_context = [self._numbered(home) for home in WITH_CONTEXT]
        self._any_context = re.compile("|".join(one.context.pattern for one in self._with_context if one.context), re.IGNORECASE)

    def _class(self, home: Home) -> Any:  # Any: one of presidio's classes
        module, name = home
        if self._copy is None:
            import presidio_analyzer.predefined_recognizers as whole  # the slow way, see `load`

            return getattr(whole, name)
        return getattr(self._copy.load(module), name)

    def _email_offline(self) -> Any:  # Any: as above
        recogniser = self._class(EMAIL)()
        offline = offline_suffixes()
        # presidio asks tldextract's default extractor, which downloads the list of public suffixes at its first call.
        recogniser.validate_result = lambda text: offline(text).fqdn != ""
        return recogniser

    def _numbered(self, home: Home) -> Numbered:
        recogniser = self._class(home)()
        words = sorted({word.strip().lower() for word in recogniser.context} - VAGUE, key=len, reverse=True)
        context = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE)
        return Numbered(recogniser=recogniser, kind="bank_account" if home[1] in BANKS else "national_id", context=context)

    def emails(self, text: str) -> Iterator[Detection]:
        return found_by(self._email, text)

    def phones(self, text: str) -> Iterator[Detection]:
        return found_by(self._phone, text)

    def addresses(self, text: str) -> Iterator[Detection]:
        for one in self._addresses:
            yield from found_by(one, text, TELLING_SCORE)

    def money(self, text: str) -> Iterator[Detection]:
        for one in self._money:
            yield from found_by(one, text)

    def identities(self, text: str) -> Iterator[Detection]:
        telling = [found for one in self._telling for found in found_by(one, text, TELLING_SCORE)]
        yield from telling
        if not self._any_context.search(text):
            return
        for one in self._with_context:
            if one.context is None or not one.context.search(text):
                continue
            for found in found_by(one, text):
                near = one.context.search(text, max(0, found.start - BEFORE), min(len(text), found.end + AFTER))
                if near and found not in telling:  # the American number stands in both lists, with weaker patterns in this one
                    yield found


def found_by(one: Numbered, text: str, least: float = 0.0) -> Iterator[Detection]:
    for result in one.recogniser.analyze(text, one.recogniser.supported_entities):
        if result.score >= least:
            yield Detection(kind=one.kind, start=result.start, end=result.end, detector=one.detector)


def offline_suffixes() -> Any:  # Any: tldextract's extractor
    """Public suffixes from the list that came with tldextract: nothing is downloaded, nothing cached on disk."""
    import tldextract  # 0.2 s, at the first text that holds an @

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, fallback_to_snapshot=True)


@functools.lru_cache(maxsize=4)
def load(phone_regions: tuple[str, ...]) -> Recognisers:
    """Build the recognisers: 0.3 s of processor time as a private copy, 7 s where a new release of presidio forces the whole import."""
    try:
        return Recognisers(PrivateCopy(PACKAGE, CORE, STAND_INS), phone_regions)
    except (ImportError, AttributeError) as error:
        logging.getLogger(__name__).info("presidio is imported as a whole: %s", error)
        return Recognisers(None, phone_regions)
