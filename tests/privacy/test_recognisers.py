"""presidio's recognisers are there, by the quick way and by the slow one."""

import logging

import pytest

from seal_agent.privacy import recognisers
from seal_agent.privacy.private_copy import PrivateCopy


def copy() -> PrivateCopy:
    return PrivateCopy(recognisers.PACKAGE, recognisers.CORE, recognisers.STAND_INS)


def test_a_private_copy_holds_every_recogniser_that_is_named() -> None:
    loaded = copy()
    homes = [
        recognisers.EMAIL,
        recognisers.PHONE,
        *recognisers.ADDRESSES,
        *recognisers.MONEY,
        *recognisers.TELLING,
        *recognisers.WITH_CONTEXT,
    ]
    assert all(isinstance(getattr(loaded.load(module), name), type) for module, name in homes)


def test_a_module_is_loaded_once() -> None:
    loaded = copy()
    assert loaded.load(recognisers.EMAIL[0]) is loaded.load(recognisers.EMAIL[0])


@pytest.mark.parametrize("name", ["no_such_module", "predefined_recognizers"])
def test_a_module_that_is_not_there_is_an_import_error(name: str) -> None:
    with pytest.raises(ImportError, match=f"no module {name}"):
        copy().load(name)


def test_a_package_that_is_not_installed_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="not_installed is not installed"):
        PrivateCopy("not_installed", (), {})


@pytest.mark.slow  # it loads spaCy, torch and transformers
def test_where_presidio_is_laid_out_differently_it_is_imported_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognisers, "CORE", ("moved",))
    recognisers.load.cache_clear()
    try:
        whole = recognisers.load(("US",))
        assert [found.kind for found in whole.emails("ana@example.com")] == ["email"]
        assert [found.kind for found in whole.identities("my ssn is 219-09-1234")] == ["national_id"]
    finally:
        recognisers.load.cache_clear()


def test_presidio_can_log_no_text_that_it_could_not_parse(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        list(recognisers.load(("US",)).money("IBAN XX00 ÄÄÄÄ 0000 1111 2222 and DE00 1111 2222 3333 4444 55"))
    assert "1111" not in caplog.text
