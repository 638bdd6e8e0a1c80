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
	@printf '  %-12s %s\n' 'figure1..4' 'A figure of the paper into out/. PREVIEW=1, SIZE=, ITERATIONS=, WEIGHTS=, INPUTS=, OUT=, JOBS=.' figures 'All four.'
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(VENV)/installed ## Four pictures by the paper's four methods: out/demo/demo.png. CONTENT=, STYLE=, WEIGHTS=, OUT=.
	@$(RUN) -m neural_style_mmd demo $(if $(CONTENT)$(STYLE),"$(CONTENT)" "$(STYLE)") -o "$(or $(OUT),out/demo)" \
	$(if $(WEIGHTS),--weights "$(WEIGHTS)")

figures: figure1 figure2 figure3 figure4

figure1 figure2 figure3 figure4: $(VENV)/installed
	@$(RUN) -m reproduce $@ $(if $(PREVIEW),--preview) $(if $(SIZE),--size $(SIZE)) \
	$(if $(ITERATIONS),--iterations $(ITERATIONS)) $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
	$(if $(INPUTS),--inputs "$(INPUTS)") $(if $(OUT),--out "$(OUT)") $(if $(JOBS),--jobs $(JOBS))

report: $(VENV)/installed ## Make the reports of out/ anew, without computing.
	@$(RUN) -m reproduce report $(if $(OUT),--out "$(OUT)")

verify: $(VENV)/installed ## Check the paper's equations and this package's claims on this machine (a minute or two).
	@$(RUN) -m neural_style_mmd verify

test: $(VENV)/installed ## The tests (without the slow ones), in two processes.
	@$(RUN) -m pytest -q -n 2 --dist loadfile

test-slow: $(VENV)/installed ## The slow tests.
	@$(RUN) -m pytest -q -m slow

test-formats: $(VENV)/installed ## The readers, and the benchmark's PyTorch, with these libraries (installs them).
	@$(PIP) -e '.[bench]' safetensors onnx 'numpy<2'
	@$(RUN) -m pytest -q tests/formats_by_library.py tests/test_benchmarks.py

test-cluster: $(VENV)/installed ## The figures' cells on a Dask cluster of processes here (installs Dask).
	@$(PIP) -e '.[distributed]'
	@$(RUN) -m pytest -q -m "slow or not slow" tests/test_distributed.py

test-browser: $(VENV)/installed ## The report in a headless Chromium.
	@TEST_BROWSER=1 $(RUN) -m pytest -q -m "slow or not slow" tests/browser

fuzz: $(VENV)/installed ## Fuzz every reader of weight files for a minute.
	@$(RUN) tests/fuzz/fuzz_readers.py --seconds 60

check: $(VENV)/installed-dev ## Lint, format and types.
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

bench: $(VENV)/installed-bench ## Time this package against bare MXNet, PyTorch and the processor. SECTIONS=, ROUNDS=, OUT=.
	@$(RUN) -m benchmarks $(SECTIONS) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	--json "$(or $(OUT),out/bench)/bench.json" --markdown "$(or $(OUT),out/bench)/bench.md"

clean: ## Remove the environment and everything that was made.
	rm -rf $(VENV) out build dist *.egg-info

.PHONY: help demo figure1 figure2 figure3 figure4 figures report verify test test-slow test-formats test-cluster test-browser fuzz check bench clean

# A stamp is written only after a complete installation, so an interrupted one is repeated. pip compiles no package that
# is installed in place, and where PYTHONDONTWRITEBYTECODE is set each process would do it again.
$(VENV)/installed: pyproject.toml
	@case "$$(uname -s)-$$(uname -m)" in Linux-x86_64 | Linux-aarch64 | Darwin-x86_64) ;; \
	*) echo "MXNet 1.9.1 has no wheel for $$(uname -s) on $$(uname -m); use Linux or macOS on Intel, or a Linux container" >&2; exit 1 ;; esac
	@test -n "$(PYTHON)" || { echo "no Python 3.10, 3.11 or 3.12 found, and MXNet 1.9.1 runs on no other: install python3.11 (Debian: apt-get install python3.11 python3.11-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "installing into $(VENV) with $(PYTHON)"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[test]'
	@$(RUN) -m compileall -q model_zoo neural_style_mmd reproduce benchmarks
	@$(RUN) -m neural_style_mmd versions
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(PIP) -e '.[dev]'
	@touch $@

# Without PyTorch the benchmark says so and leaves its section out; the next call tries again.
$(VENV)/installed-bench: $(VENV)/installed
	@$(PIP) -e '.[bench]' && touch $@ || echo "PyTorch could not be installed; going on without it" >&2
