# `make help` lists what there is. Everything runs in .venv, which `make setup` creates.

SHELL := /bin/sh
PYTHON_BIN := .venv/bin
RUNS ?= 1000000
STAMP := .venv/installed
NATIVE := $(wildcard offload/provider/*.c offload/provider/*.h)

# The tools of Debian that tests and benchmarks use may live in /usr/sbin.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-cluster peers test check lint types contracts format bench faults faults-quick fuzz constraints clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## create .venv with the pinned dependencies and build the project into it

$(STAMP): constraints.txt pyproject.toml setup.py scripts/setup $(NATIVE)
	@scripts/setup
	@touch $@

demo: setup ## start workers, a front-end and a website, and make requests through them
	@$(PYTHON_BIN)/offload demo

demo-cluster: setup ## the same for a cluster: etcd, four workers, two front-ends
	@$(PYTHON_BIN)/offload demo --cluster

peers: ## install the real peers of the tests (nginx, haproxy, wrk, ...) where possible
	@scripts/peers

test: setup peers ## run the tests
	$(PYTHON_BIN)/python -m pytest $(ARGS)

check: lint types contracts ## lint, types and the import contracts

lint: setup
	$(PYTHON_BIN)/ruff check .
	$(PYTHON_BIN)/ruff format --check .

types: setup
	$(PYTHON_BIN)/mypy

contracts: setup
	$(PYTHON_BIN)/lint-imports --no-logo

format: setup ## format the code and mend what the linter can
	$(PYTHON_BIN)/ruff check --fix-only .
	$(PYTHON_BIN)/ruff format .

bench: setup peers ## measure against nginx and haproxy, side by side
	$(PYTHON_BIN)/python -m bench $(ARGS)

faults: setup peers ## kill, cut off and tamper with real processes, and look (minutes)
	$(PYTHON_BIN)/python tests/faults $(ARGS)

faults-quick: setup peers ## a sample of each fault, within a minute
	$(PYTHON_BIN)/python tests/faults --quick $(ARGS)

fuzz: setup ## search long for inputs that break the parsers (RUNS=n)
	for target in tests/fuzz/fuzz_*.py; do \
	    $(PYTHON_BIN)/python $$target --runs $(RUNS) || exit 1; \
	done
	$(PYTHON_BIN)/python -m pytest -m hypothesis --timeout 3600 --hypothesis-profile fuzz $(ARGS)

PIN := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-annotate --quiet

constraints: ## renew the pinned dependencies (needs uv)
	$(PIN) --extra dev --upgrade --output-file constraints.txt
	$(PIN) --extra pkcs11 --constraint constraints.txt --output-file requirements.txt

clean: ## remove .venv and everything built
	rm -rf .venv build dist *.egg-info offload/provider/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
