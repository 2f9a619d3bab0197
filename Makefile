# Everything a newcomer types, and the one line that CI runs. All of it happens in .venv; nothing else is written outside build folders.
#
# `make test` and `make check` are the same: formatting, lint, types, import rules, then every test, the first failure ending it.
# Whoever runs "the tests" has then run what CI runs. `make fast` is for the minutes in between.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test check fast format clean

help:
	@echo "make demo     teach a small model overnight, in some minutes"
	@echo "make test     formatting, lint, types, import rules and all tests (make check is the same)"
	@echo "make fast     the tests that load no real model and build nothing"
	@echo "make format   put the code into shape"
	@echo "make install  what the others do first: $(VENV), with everything in it at the versions of constraints.txt"
	@echo "make clean    remove $(VENV), build folders and caches"
	@echo "PYTHON=python3.12 make ... picks the interpreter (3.11 or newer)"

install: $(READY)
	@echo "$(VENV) is ready"

demo: $(READY)
	@$(BIN)/seal-agent demo

test check: $(READY)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m pytest

fast: $(READY)
	$(BIN)/python -m pytest -m "not slow"

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# One environment for demo and tests, made again when what it is made from changes. The stamp is written last, so an installation that
# failed is taken up where it stopped; a half-made environment (no working pip in it) is started afresh.
# The constraints hold for the build's own environment too: through PIP_CONSTRAINT in older pips, PIP_BUILD_CONSTRAINT in newer ones.
$(READY): export PIP_CONSTRAINT := constraints.txt
$(READY): export PIP_BUILD_CONSTRAINT := constraints.txt
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "seal-agent needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1 || true)"; \
		echo "Name a newer one:  make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear $(VENV) || { echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }; }
	@echo "Installing seal-agent and what it needs into $(VENV): about 2 GB, some minutes, once"
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
