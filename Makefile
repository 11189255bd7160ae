# Each target does all its own set-up from a bare Python 3.11+ with pip, and is quick when nothing
# has changed. PYTHON chooses the interpreter that makes the environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt

# What `make install` and `make run` add to the core, as in EXTRAS=llm or EXTRAS=postgres,llm.
EXTRAS ?=
INSTALLED := $(if $(EXTRAS),$(VENV)/.with-$(EXTRAS),$(VENV)/.installed)

# How often `make faults` tries each scenario.
TIMES ?= 1
# How long `make soak` goes on, and from which seed, if not from any.
MINUTES ?= 30
SEED ?=

.PHONY: install run test faults soak lint bench

install: $(INSTALLED)

run: install
	$(BIN)/agent-manager up

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest --numprocesses 2

faults: $(VENV)/.installed-dev
	TIMES=$(TIMES) $(BIN)/python -m pytest tests/faults -m "" --numprocesses 4 --fault-report

soak: $(VENV)/.installed-dev
	$(BIN)/python tests/faults/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

$(BIN)/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Agent Manager needs Python 3.11 or newer; name one with make PYTHON=python3.12.')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (about a minute the first time) ..."
	$(PIP) --editable .
	@touch $@

$(VENV)/.with-%: $(VENV)/.installed
	@echo "Installing $* ..."
	$(PIP) --editable ".[$*]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[postgres,llm,dev]"
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(PIP) --editable ".[bench]"
	@touch $@
