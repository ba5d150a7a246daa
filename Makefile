# Everything there is to do in this repository. `make` lists it.
# Needed: Python 3.11 to 3.13 and make. All else goes into .venv, from uv.lock.

PYTHON ?= python3
# What is handed on to pytest, such as PYTEST_ARGS="-k decision -x".
PYTEST_ARGS ?=
# More than cores: many tests wait for a program, a server or a lease.
TEST_WORKERS ?= 4

# Debian packages whose programs the tests start.
DEBIAN_PACKAGES := borgbackup chromium restic

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# uv brings its own list of certificates; behind a proxy that inspects TLS, only the system's list is right.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS := true
endif
# Compiled once: else each of the hundreds of processes that the tests start compiles everything anew.
export UV_COMPILE_BYTECODE := 1
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup programs demo test lint types imports diagrams verify bench cov all clean
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Make .venv with exactly what uv.lock names (quick when nothing changed)
	@echo "$(VENV) is ready."

# The order matters: the stamp is written last, so a set-up that was interrupted starts again.
$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
		{ echo "make: '$(PYTHON)' is no Python 3.11 to 3.13. Name one that is: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: '$(PYTHON)' cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -c 'import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
		$(PYTHON) -m venv --clear $(VENV)
	@{ { $(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<1'; } && \
		$(BIN)/uv sync --quiet --frozen --all-extras --group dev; } || \
		{ echo "make: the packages of uv.lock could not be installed; the reason is above. Try again: make setup" >&2; exit 1; }
	@touch $@

# The programs that tests start: installed where that may be done; else it is said how, and the tests that miss one fail.
programs:
	@missing=""; for package in $(DEBIAN_PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; done; \
	test -z "$$missing" || \
		if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
			DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; \
			apt-get -qq update && apt-get -qq install --no-install-recommends $$missing >/dev/null; \
		else \
			echo "make: tests start programs of these packages, and will fail: sudo apt-get install --no-install-recommends$$missing" >&2; fi

demo: $(READY) ## Show one restore run from draft to outcome, in a ledger of its own
	$(BIN)/python -m proofgap_app.demo

test: $(READY) programs ## Run all tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(READY) ## Look for mistakes, form, spelling, and dependencies that are missing or too many
	$(BIN)/ruff check
	$(BIN)/ruff format --check --quiet
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/deptry .

types: $(READY) ## Check types, twice
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

imports: $(READY) ## Check who may import whom
	$(BIN)/lint-imports

diagrams: $(READY) ## Draw diagrams/ anew, from the machines and the rules
	$(BIN)/proofgap diagram --all diagrams/

verify: diagrams ## Fail if diagrams/ is not what the code draws
	git diff --exit-code --stat -- diagrams
	@new=$$(git ls-files --others -- diagrams) && test -z "$$new" || \
		{ echo "make: drawn, but not committed: $$new. Then: git add diagrams" >&2; exit 1; }
	$(BIN)/proofgap diagram --check diagrams/

bench: $(READY) ## Measure what the ledger adds to its writes, as ratios to a floor in the same run
	$(BIN)/python -m benchmarks

cov: $(READY) programs ## Run all tests and say which lines and branches they miss
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --cov --cov-report=term $(PYTEST_ARGS)

all: lint types imports test verify ## All that must pass before a commit

clean: ## Remove .venv, caches and reports
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .coverage .coverage.* dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
