# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# How many processes share the tests: they wait more than they work.
WORKERS ?= 2
# Compiling all imports at every start of a program takes seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo test matrix faults fuzz lint format proto lock bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements.lock deploy/local/bootstrap.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash deploy/local/bootstrap.sh

run: $(STAMP) ## Start the whole system on this machine, in the foreground
	@exec $(BIN)/trawl up

demo: $(STAMP) ## Scrape a sample shop through the whole system (ARGS=--keep leaves it running)
	@exec $(BIN)/trawl demo $(ARGS)

test: $(STAMP) ## Run every test but the long fault tests' repetitions
	@$(BIN)/trawl tools
	@$(BIN)/pytest -n $(WORKERS) $(ARGS)

lint: $(STAMP) ## Check style, types, layering, and that the generated stubs are fresh
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@bash protos/generate.sh --check

matrix: $(STAMP) ## Collect every kind of thing from X under every fault at every moment (a quarter of an hour)
	@X_MATRIX=all $(BIN)/pytest tests/integration/test_x_matrix.py $(ARGS)

fuzz: $(STAMP) ## Try every port with requests made up from its own description (ARGS=--help)
	@cd tests && ../$(BIN)/python fuzz.py $(ARGS)

format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: $(STAMP) ## Generate the gRPC stubs anew
	@bash protos/generate.sh

lock: ## Resolve the dependencies anew (needs uv)
	@uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url \
		--python-version 3.11 --quiet -o requirements.lock

bench: $(STAMP) ## Measure beside the peers (ARGS=runs for one, ARGS=--help)
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove the virtual environment and the local data
	@rm -rf $(VENV) .trawl
