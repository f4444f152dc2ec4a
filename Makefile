# Everything a person needs: setup, demo, test, check, bench. Only Python >= 3.11, git and make are taken for granted.
SHELL := /bin/sh
.DEFAULT_GOAL := help
UV_VERSION := 0.13.9
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$p; break; }; done)
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := .venv/bin
COMPILED := PYTHONDONTWRITEBYTECODE= # hundreds of processes import what one has compiled

.PHONY: help setup demo test check lint bench reliability lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: .venv/.complete ## Build .venv from requirements.lock

.uv/bin/uv:
	@test -n "$(PYTHON)" || { echo "segment-export needs Python 3.11 or newer; none was found on PATH. Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "No uv here: bringing uv $(UV_VERSION) into .uv"
	@"$(PYTHON)" -m venv .uv || { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.complete: requirements.lock pyproject.toml $(filter .uv/bin/uv,$(UV))
	@test -n "$(PYTHON)" || { echo "segment-export needs Python 3.11 or newer; none was found on PATH. Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Building .venv from requirements.lock"
	@$(UV) venv --quiet --clear --python "$(PYTHON)" .venv
	@VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Deliver a segment of 100,000 generated profiles into a sandbox
	@$(RUN)/segment-export demo

test: setup ## Run every test
	@$(COMPILED) $(RUN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not alone"
	@$(COMPILED) $(RUN)/pytest -m alone

check: test lint ## Tests, linters, types and import contracts: what CI runs

lint: setup ## Linters, types and import contracts
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: setup ## Measure (minutes; prints ratios)
	@$(RUN)/python -m benchmarks

reliability: setup ## Prove it: every fault and kill -9 at every request, and a soak (an hour or two)
	$(RUN)/python -m tests.reliability matrix --write
	$(RUN)/python -m tests.reliability kills --write
	$(RUN)/python -m tests.reliability soak --write

lock: ## Renew requirements.lock from pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --group dev pyproject.toml -o requirements.lock

clean: ## Remove what setup built
	rm -rf .venv .uv
