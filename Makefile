# Two commands for a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Both workers import everything, and some tests start programs: let them find it compiled.
test: export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test fuzz lint format clean help

help: ## show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.user ## set up everything and hold a spoken conversation, no sound card needed
	@$(BIN)/covo demo

test: $(VENV)/.dev lint ## set up everything, check style and types, run the tests
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not soundcard" --hypothesis-profile=ci
	@$(BIN)/pytest -m soundcard tests/audio_io/test_audio_live.py

fuzz: $(VENV)/.dev ## thousands of random inputs to all that covo reads, and a hundred kills
	@COVO_FUZZ_INPUTS=400 OMP_NUM_THREADS=1 $(BIN)/pytest tests/fuzz

lint: $(VENV)/.dev ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "covo needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.user: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing covo and what it needs (about 300 MB to download) ..."
	@$(BIN)/python -m pip install --upgrade --quiet pip
	@$(BIN)/python -m pip install -c constraints.txt -e .
	@$(BIN)/covo models pull lite
	@touch $@

$(VENV)/.dev: $(VENV)/.user
	@echo "Installing the development tools ..."
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[covo,dev]'
	@touch $@

clean: ## remove the environment and the caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
