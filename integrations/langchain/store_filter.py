"""Filters of a LangGraph search over an item's value, as LangGraph's own stores understand them.

Deliberately evaluated in Python: no part of a filter ever becomes SQL. Unlike the in-memory store, a comparison of what can't be compared
matches nothing instead of raising: one item without the field must not fail a search.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typing_extensions import TypeIs

from seal_agent.errors import UsageError

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {  # Any: two numbers or two texts
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(value: Mapping[str, object], filter: Mapping[str, object] | None) -> bool:
    """Whether every condition holds; raise `UsageError` (a ValueError) for an unknown operator.

    A key with dots that the value does not have is a path into nested values.
    """
    return all(holds(field(value, key), condition) for key, condition in (filter or {}).items())


def field(value: Mapping[str, object], key: str) -> object:
    if key in value or "." not in key:
        return value.get(key)
    found: object = value
    for part in key.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def holds(actual: object, condition: object) -> bool:
    if isinstance(condition, Mapping):
        if any(isinstance(key, str) and key.startswith("$") for key in condition):
            return all(compare(actual, name, operand) for name, operand in condition.items())
        return isinstance(actual, Mapping) and all(holds(actual.get(key), nested) for key, nested in condition.items())
    if is_list(condition):
        return is_list(actual) and len(actual) == len(condition) and all(map(holds, actual, condition))
    return actual == condition


def is_list(value: object) -> TypeIs[Sequence[object]]:
    return isinstance(value, list | tuple)


def compare(actual: object, name: str, operand: object) -> bool:
    if name == "$eq":
        return actual == operand
    if name == "$ne":
        return actual != operand
    if name not in COMPARISONS:
        raise UnknownOperatorError(f"Unsupported operator: {name!r}; say one of $eq, $ne, {', '.join(COMPARISONS)}.")
    numbers = as_number(actual), as_number(operand)
    if None not in numbers:
        return COMPARISONS[name](*numbers)
    return isinstance(actual, str) and isinstance(operand, str) and COMPARISONS[name](actual, operand)


def as_number(value: object) -> float | None:
    """What can be read as a number, also from text, as LangGraph's stores do."""
    if not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


class UnknownOperatorError(UsageError, ValueError):
    """A filter asks for a comparison that there is not."""
