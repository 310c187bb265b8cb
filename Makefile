# `make` lists the targets. Everything lives in .venv, made with plain `python3 -m venv` and pip.
#
#   make PYTHON=/path/to/python3.12 test      another Python
#   make test ARGS="tests/test_notify.py -x"  some tests only

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
CONFIG ?= config.toml
ARGS ?=
# Tests at a time: many wait for a daemon. Those of one file stay together, for they share what they set up.
JOBS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 )))

# The first of these on PATH that is new enough, and not newer than what the dependencies serve.
CANDIDATES := python3 python3.13 python3.12 python3.11
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for candidate in $(CANDIDATES); do \
	"$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1 && { echo "$$candidate"; exit; }; done; true)

SHOW_PLACES := import sys; from drumwatchd.config import load_config; \
	config = load_config(sys.argv[1]); \
	print(*(f"Drop samples into   {inbox.path}" for inbox in config.inboxes), \
	f"and find them in    {config.archive.root}", sep="\n")

.PHONY: help run test lint format torture bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: $(VENV)/.ready-run $(CONFIG) ## start the daemon on ./inbox, filing into ./archive
	@$(BIN)/python -m drumwatchd --config $(CONFIG) check-config >/dev/null
	@$(BIN)/python -c '$(SHOW_PLACES)' $(CONFIG)
	@echo "From another shell: $(BIN)/drumwatchd --config $(CONFIG) status     (Ctrl-C stops)"
	@exec $(BIN)/drumwatchd --config $(CONFIG) run

test: lint ## format check, lint, types, import walls, then every test
	@exec $(BIN)/python -m pytest -m "not torture" --numprocesses $(JOBS) --dist loadfile $(ARGS)

lint: $(VENV)/.ready-test ## the checks that need no test run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready-test ## format the code and repair what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

torture: $(VENV)/.ready-test ## the long tests
	@exec $(BIN)/python -m pytest -m torture $(ARGS)

bench: $(VENV)/.ready-test ## measure speed and memory, with a baseline in the same run
	@exec $(BIN)/python -m benchmarks $(ARGS)

clean: ## remove .venv and everything built; inbox, archive and config.toml stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

config.toml: | $(VENV)/.ready-run
	@$(BIN)/drumwatchd init .

# The checkout itself is installed, so that a change needs no second install. A stamp is remade when
# the requirements change, and a step that failed leaves none.
$(VENV)/.ready-run: pyproject.toml | $(BIN)/python
	@echo "installing drumwatchd into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.ready-test: pyproject.toml | $(BIN)/python
	@echo "installing drumwatchd and its test tools into $(VENV) (some minutes the first time)"
	@$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.ready-run

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11, 3.12 or 3.13 is needed, and none of" \
		"\"$(CANDIDATES)\" on PATH is one; install one, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is too old: Python 3.11 or newer is needed" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments;" \
		"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear $(VENV)
