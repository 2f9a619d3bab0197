"""Tests of a host run in an environment of the host's own: `python -m benchmarks.host_conformance`."""

import importlib.util

import pytest


def needs(package: str) -> None:
    """Skip the module where its host is not installed. That is everywhere but there, CI included: hosts contradict one another's pins."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} has an environment of its own: python -m benchmarks.host_conformance", allow_module_level=True)
