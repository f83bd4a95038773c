# `make` alone lists the targets. Everything is installed into .venv by $(PYTHON); nothing outside this folder changes.

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
PYCSW := .venv-pycsw
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt --editable
NEEDED := pyproject.toml constraints.txt
HOST ?= 127.0.0.1
PORT ?= 8000
JOBS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install test test-slow test-browser test-peers peers check format bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## harvest the built-in sample and serve it (HOST, PORT)
	@$(BIN)/bienmo demo --host $(HOST) --port $(PORT)

install: $(VENV)/installed ## install the catalog and the command bienmo into .venv

test: $(VENV)/installed-test ## run the tests (ARGS="-k subset" for some of them; JOBS=1 for one after another)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-slow: $(VENV)/installed-test ## run the long fuzzing, load and kill tests
	@HYPOTHESIS_PROFILE=slow $(BIN)/python -m pytest -m slow $(ARGS)

test-browser: $(VENV)/installed-test ## walk the pages in Chromium (needs chromium and chromium-driver)
	@$(BIN)/python -m pytest tests/browser $(ARGS)

test-peers: $(VENV)/installed-test $(PEERS)/installed $(PYCSW)/installed ## compare our numbers with those of other servers
	@$(BIN)/python -m pytest -m peers tests/peers $(ARGS)

check: $(VENV)/installed-check ## lint, formatting, types and import rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/installed-check ## put the code into its form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(VENV)/installed-test $(PEERS)/installed ## measure, also other servers, and print tables (ARGS=--help)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(ARGS)

peers: $(PEERS)/installed $(PYCSW)/installed ## install the servers we compare with into .venv-peers and .venv-pycsw

clean: ## remove the environments and every cache
	rm -rf $(VENV) $(PEERS) $(PYCSW) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find catalog harvesters tests -name __pycache__ -prune -exec rm -rf {} +

# --- installing: a stamp each, made again when pyproject.toml or constraints.txt changes

$(BIN)/python $(PEERS)/bin/python $(PYCSW)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(@:/bin/python=)

$(VENV)/installed: $(BIN)/python $(NEEDED)
	@echo "installing into $(VENV) (about a minute) ..."
	@$(INSTALL) .
	@touch $@

$(VENV)/installed-test: $(BIN)/python $(NEEDED)
	@echo "installing into $(VENV) with the test tools ..."
	@$(INSTALL) '.[test]'
	@touch $(VENV)/installed $@

$(VENV)/installed-check: $(BIN)/python $(NEEDED)
	@echo "installing into $(VENV) with the checking tools ..."
	@$(INSTALL) '.[check]'
	@touch $(VENV)/installed $@

$(PEERS)/installed: $(PEERS)/bin/python constraints-peers.txt
	@echo "installing the peers into $(PEERS) (about two minutes) ..."
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --requirement constraints-peers.txt
	@touch $@

$(PYCSW)/installed: $(PYCSW)/bin/python constraints-pycsw.txt
	@echo "installing pycsw into $(PYCSW) (half a minute) ..."
	@$(PYCSW)/bin/python -m pip --disable-pip-version-check install --quiet --requirement constraints-pycsw.txt
	@touch $@
