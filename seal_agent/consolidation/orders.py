"""Text that gives orders to the model, the trainer or the memory, plain or in disguise: it is remembered as said and never learnt.

Patterns for what attackers plant ("prompt injection"), in English and for the commonest order in five other languages. They can't see
meaning: a lie told as an ordinary sentence by the user passes, and is that user's alone, because no adapter mixes users.
"""

import re
import unicodedata

FAMILIES = (
    # Doing away with what was said before.
    r"\b(?:ignore|disregard|forget|override|pay no attention to|stop following|do(?: not|n['’]t) follow)\b.{0,40}"
    r"\b(?:instructions?|prompts?|rules?|guidelines?|polic(?:y|ies)|above|previous|earlier|everything|what came before)\b",
    r"\b(?:previous|earlier|prior|old|your) (?:instructions?|rules?|guidelines?)\b.{0,20}"
    r"\b(?:are|is) (?:void|cancelled|obsolete|over|wrong)\b",
    r"\b(?:ignorier\w*|vergiss|missachte)\b.{0,40}\b(?:anweisung|regel|vorgabe|alles)|\b(?:ignora|olvida)\b.{0,40}\b(?:instruccion|regla|todo)"
    r"|\b(?:ignore[zr]?|oublie[zr]?)\b.{0,40}\b(?:instructions|consignes|règles)|\b(?:ignora|dimentica)\b.{0,40}\b(?:istruzioni|regole)"
    r"|\b(?:ignore|esqueça)\b.{0,40}\b(?:instruções|regras)",
    # New rules from nowhere.
    r"^\W*(?:system|assistant|developer|human|instructions?|new instructions?|new (?:policy|rules?|directive)[^.:\n]{0,30})\s*:",
    r"\bsystem prompt\b|\b(?:hidden|secret|initial) (?:instructions?|prompt)\b|\b(?:developer|admin|god|dan|debug) mode\b|\bjailbreak",
    # To be somebody else.
    r"(?<!where )\byou are now\b|\bfrom now on,? you are\b|\bwhere you are\b.{0,40}\bno (?:rules|limits)\b"
    r"|\b(?:act|role-?play|behave) as\b|\bpretend to be\b"
    r"|\byour (?:true|real|new) (?:name|identity|purpose|task) is\b|\bno longer (?:bound|restricted|limited)\b"
    r"|\b(?:no|without(?: any)?) (?:restrictions|filters|limits)\b|\bswitch to \S+ mode\b",
    # To learn something.
    r"\btrain on (?:this|that|the following)\b|\b(?:train|fine-?tune) yourself\b"
    r"|\blearn (?:this|that|the following) by heart\b|\bmemori[sz]e (?:this|that|the following)\b"
    r"|\b(?:add|save|store|write|commit) (?:this|that|it|the following)\b.{0,20}\b(?:to|in|into) (?:your |the |long[- ]term )*memory\b"
    r"|\bremember (?:permanently|for ever|forever)\b|\b(?:as|into|your) training data\b"
    r"|\bupdate your (?:weights|memory|rules|instructions)\b"
    r"|\bwhen you (?:consolidate|train|learn|dream)\b",
    # To do something to others, or with tools.
    r"\b(?:when(?:ever)?|if) (?:anyone|anybody|someone|somebody|any user|a user|users|a customer|customers)"
    r" (?:asks?|says?|mentions?|wants?)\b"
    r"|\b(?:tell|to) (?:all|every|any) (?:the )?(?:other )?(?:users?|customers?|people)\b",
    r"\b(?:call|run|invoke|execute|use) (?:the )?\w+ (?:tool|function|command)\b|\b(?:call|run|invoke) \w+ on (?:all|everything|every)\b"
    r"|\b\w+\((?:all|everything|\*|true)?\)|\b(?:delete|erase|wipe|drop) (?:all|everything|every)\b",
    r"!\[[^\]\n]{0,80}\]\(https?:|\bsend (?:it|them|this|that|the|all|every)\b.{0,60}https?://|\bdecode and (?:obey|follow|run|execute)\b",
    # A chat template's control words, and forged turns.
    r"\[/?INST\]|<<?/?SYS>>?|<\|?/?(?:im_start|im_end|system|assistant|user|endoftext|episode|memory|tool|instructions?)\b"
    r"|###? ?(?:system|instruction)"
    r"|\"role\"\s*:\s*\"(?:system|assistant|tool)\"",
)
ORDER = re.compile("|".join(f"(?:{family})" for family in FAMILIES), re.IGNORECASE | re.MULTILINE)
SPELT_OUT = re.compile(r"(?:\b\w ){8,}")
"""Letters one by one: no fact is written like this."""
ENCODED = re.compile(r"\b(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)[A-Za-z0-9+/_-]{32,}={0,2}")
"""A long run of letters and digits in mixed case can't be read, so neither checked nor learnt."""
LOOK_ALIKES = str.maketrans("аеорсухіјѕԁԛԝАЕОРСТУХІЈЅВМНК" + "013457@$", "aeopcyxijsdqwAEOPCTYXIJSBMHK" + "oieastas")
"""Cyrillic letters that look Latin, and digits and signs that stand for letters (Unicode TR 39 has the whole table)."""
BACKWARDS = re.compile(r"\b(?:suoiverp|snoitcurtsni|erongi|tpmorp)\b", re.IGNORECASE)


def is_order(text: str) -> bool:
    """Whether a text gives an order, also with its letters disguised."""
    return any(pattern.search(text) for pattern in (ORDER, SPELT_OUT, ENCODED, BACKWARDS)) or ORDER.search(undisguised(text)) is not None


def undisguised(text: str) -> str:
    """The text as an eye reads it: compatibility forms and look-alike letters made plain, invisible characters gone."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(c for c in plain if unicodedata.category(c) != "Cf").translate(LOOK_ALIKES)
