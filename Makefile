# Roster's commands. `make demo` and `make test` need Python 3.11 or later and make, nothing else.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# What is never imported needs no bytecode; what is imported is compiled then.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
PIN     = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

# Without bytecode, each of the hundred interpreters that the tests start would compile all of Roster again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench chaos fuzz hostile screenshots secrets pins digests clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

demo: $(VENV)/installed ## Run the sample rosters against a pretend LMS and show the reports
	$(BIN)/roster demo

# The checks run at a lower priority while the tests run. They write nothing when they pass, so that the last line of
# a run that passes is pytest's.
test: $(VENV)/installed-dev ## Run the whole test suite, and beside it what `make check` runs
	@report=$$(mktemp); nice $(MAKE) --silent check >"$$report" 2>&1 & checks=$$!; \
	$(BIN)/python -m pytest -n auto --dist worksteal --durations=20 $(PYTEST_ARGS); tests=$$?; \
	wait $$checks; failed=$$?; [ $$failed = 0 ] || cat "$$report"; rm -f "$$report"; \
	[ $$failed = 0 ] || echo "make check failed: see above"; [ $$tests = 0 ] && [ $$failed = 0 ]

check: $(VENV)/installed-dev ## Types, lint and import contracts alone (make test runs them too)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy

bench: $(VENV)/installed-dev ## Speed against a bare loop of the same calls, and the pace against unknown limits
	$(BIN)/python -m tests.benchmarks

chaos: $(VENV)/installed-dev ## Sixty rounds of workers killed, Redis emptied, PostgreSQL restarted
	$(BIN)/python -m tests.chaos 60

fuzz: $(VENV)/installed-dev ## Feed made and damaged rosters to the reader for an hour (make fuzz SECONDS=60)
	$(BIN)/python -m tests.fuzz $(or $(SECONDS),3600)

hostile: $(VENV)/installed-dev ## Upload hostile files to a real server, which must answer meanwhile
	$(BIN)/python -m tests.hostile

screenshots: $(VENV)/installed-dev ## Take the pictures of docs/screenshots again (needs a Chromium)
	$(BIN)/python -m tests.screenshots

secrets: ## Make passwords for docker compose, in .secrets/ (those that are there stay)
	@sh worker/make_secrets.sh .secrets

pins: $(VENV)/python ## Make requirements*.txt again from pyproject.toml (needs the package registry)
	$(BIN)/python -m pip install --quiet uv
	$(PIN) pyproject.toml -o requirements.txt
	$(PIN) --constraint requirements.txt --group build -o requirements-build.txt
	$(PIN) --constraint requirements.txt --constraint requirements-build.txt pyproject.toml --group dev \
	  -o requirements-dev.txt

digests: ## Pin the images of docker-compose.yml and the Dockerfile by digest (needs Docker and the network)
	@sh worker/pin_images.sh

clean: ## Remove the virtual environment and everything the demo made
	rm -rf $(VENV) roster-demo

$(VENV)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Roster needs Python 3.11 or later; '$(PYTHON)' was not found. Install it, or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Roster needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu, install the package python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/installed: $(VENV)/python requirements.txt requirements-build.txt pyproject.toml
	$(INSTALL) --require-hashes -r requirements-build.txt
	$(INSTALL) --require-hashes -r requirements.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/python requirements-build.txt requirements-dev.txt pyproject.toml
	$(INSTALL) --require-hashes -r requirements-build.txt
	$(INSTALL) --require-hashes -r requirements-dev.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/installed
