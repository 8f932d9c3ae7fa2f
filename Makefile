# Every target sets up what it needs from a fresh clone; `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin
# The interpreter of a new .venv: the newest supported one that is found.
PYTHON ?= $(shell tests/install/python.sh)
# More for pytest: make test-fast PYTEST='-k status -x'
PYTEST ?=
# More for a benchmark: make bench-submit BENCH='--sizes 10,100 --repeat 3'
BENCH ?=

# Where it is set, each of the tests' thousands of processes would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv lint format test test-fast test-all-pythons demo slurm-up slurm-down bench bench-submit bench-capture clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 26

venv: $(VENV)/.stamp ## a virtual environment in .venv, with this checkout and its tools

$(VENV)/.stamp: pyproject.toml
	@test -n "$(PYTHON)"
	tests/install/venv.sh $(VENV) $(PYTHON)
	@touch $@

lint: venv ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: venv ## rewrites the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: venv ## all tests, on a real SLURM where this machine can have one
	tests/install/rclone.sh
	tests/slurm/with.sh $(BIN)/pytest $(PYTEST)

test-fast: venv ## all tests but those that need SLURM
	$(BIN)/pytest -m 'not slurm' $(PYTEST)

test-all-pythons: ## test-fast on every supported Python that is found
	@for version in 3.10 3.11 3.12 3.13; do \
	  python=$$(tests/install/python.sh $$version 2>/dev/null) || { echo "=== Python $$version: not found"; continue; }; \
	  echo "=== Python $$version: $$python"; \
	  $(MAKE) --no-print-directory VENV=.venv-$$version PYTHON=$$python test-fast || failed="$$failed $$version"; \
	done; \
	test -z "$$failed" || { echo "=== failed on$$failed"; exit 1; }

demo: venv ## a new project, a small sweep of it on this machine, and the list of its runs
	PATH="$(CURDIR)/$(BIN):$$PATH" docs/demo.sh

slurm-up: ## a real SLURM on this machine, until slurm-down
	@tests/slurm/up.sh

slurm-down: ## ends it
	@tests/slurm/down.sh

bench: venv ## every figure beside what people use instead: writes docs/explanation/performance.md
	SAVETHAT_SLURM_MAX_ARRAY_SIZE=10001 tests/slurm/with.sh \
	  $(BIN)/python -m benchmarks.performance --write $(BENCH)

bench-submit: venv ## submitting many runs, beside submitit and hydra: benchmarks/README.md
	SAVETHAT_SLURM_MAX_ARRAY_SIZE=10001 SAVETHAT_FORBID_SKIPS=1 tests/slurm/with.sh \
	  $(BIN)/python -m benchmarks.submit $(BENCH)

bench-capture: venv ## freezing a project's code, beside git and submitit: benchmarks/README.md
	$(BIN)/python -m benchmarks.capture $(BENCH)

.PHONY: death-matrix thousand-runs
# More for the matrix: make death-matrix DEATHS='--only preemption --jobs 4'
DEATHS ?=
death-matrix: venv ## every way to die, at every moment, over every B2: docs/explanation/reliability.md
	SAVETHAT_SLURM_NODES=8 SAVETHAT_FORBID_SKIPS=1 tests/slurm/with.sh \
	  $(BIN)/python -m tests.deaths $(or $(DEATHS),--write)

thousand-runs: venv ## a thousand short runs over a B2 that fails one call in ten
	$(BIN)/python -m tests.deaths.thousand --runs 1000 --rate 0.1 --write

.PHONY: fuzz
# One parser, by the name that the table shows: make fuzz FUZZ='"launch record"'
FUZZ ?=
fuzz: ## every parser of outside input under guided fuzzing, FUZZ_SECONDS (60) each
	@test -n "$(PYTHON)"
	tests/install/venv.sh .venv-fuzz $(PYTHON)
	.venv-fuzz/bin/python -m pip install --quiet atheris
	tests/fuzz/guided.sh .venv-fuzz/bin/python $(FUZZ)

clean: ## removes environments, caches and builds from the checkout
	rm -rf .venv .venv-3.* .venv-fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
