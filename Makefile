# Everything starts here: each target does its own set-up in .venv. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that MXNet 1.9.1 and NumPy below 2 exist for and that runs.
PYTHON ?= $(shell for each in python3.12 python3.11 python3.10 python3; do \
	$$each -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& command -v $$each && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check

help: ## List the targets.
	@echo "make TARGET [VARIABLE=value ...]"
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(VENV)/installed ## Four pictures by the paper's four methods: out/demo/demo.png. CONTENT=, STYLE= for your own.
	@$(RUN) -m neural_style_mmd demo $(if $(CONTENT)$(STYLE),"$(CONTENT)" "$(STYLE)") -o "$(or $(OUT),out/demo)"

test: $(VENV)/installed ## The tests (without the slow ones).
	@$(RUN) -m pytest -q

test-slow: $(VENV)/installed ## The slow tests.
	@$(RUN) -m pytest -q -m slow

check: $(VENV)/installed-dev ## Lint, format and types.
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

bench: $(VENV)/installed ## Time an iteration of each method against the bare network.
	@$(RUN) -m benchmarks

clean: ## Remove the environment and everything that was made.
	rm -rf $(VENV) out build dist *.egg-info

.PHONY: help demo test test-slow check bench clean

# A stamp is written only after a complete installation, so an interrupted one is repeated.
$(VENV)/installed: pyproject.toml
	@case "$$(uname -s)-$$(uname -m)" in Linux-x86_64 | Linux-aarch64 | Darwin-x86_64) ;; \
	*) echo "MXNet 1.9.1 has no wheel for $$(uname -s) on $$(uname -m); use Linux or macOS on Intel, or a Linux container" >&2; exit 1 ;; esac
	@test -n "$(PYTHON)" || { echo "no Python 3.10, 3.11 or 3.12 found, and MXNet 1.9.1 runs on no other: install python3.11 (Debian: apt-get install python3.11 python3.11-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "installing into $(VENV) with $(PYTHON)"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[test]'
	@$(RUN) -m neural_style_mmd versions
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(PIP) -e '.[dev]'
	@touch $@
