# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint test-real-data test-containers lock clean account

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 20

setup: $(VENV)/.run ## the program and its pinned dependencies, in .venv

demo: account $(VENV)/.run ## set up, then simulate, train, validate, promote and annotate an atlas
	$(BIN)/annotator demo

test: account $(VENV)/.dev ## set up, then check and test everything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m 'not real_data and not containers'

lint: $(VENV)/.dev ## only the checks that run nothing
	$(BIN)/pre-commit run --all-files

test-real-data: account $(VENV)/.dev ## the slow checks on real data, where ../shared/data holds them
	$(BIN)/pytest -m real_data

test-containers: account $(VENV)/.dev ## build the image and run it, as root, where buildah and debootstrap are
	$(BIN)/pytest -m containers

lock: ## pin the dependencies again (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
	    --no-annotate --python-version 3.11 pyproject.toml requirements/build.in \
	    --extra cpu --extra dask --extra embedded --extra formats \
	    --output-file requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
	    --no-annotate --python-version 3.11 pyproject.toml requirements/build.in \
	    --extra cpu --extra dask --extra embedded --extra formats --group dev \
	    --constraints requirements/run.txt --output-file requirements/dev.txt

clean: ## remove what was set up here
	rm -rf $(VENV)

# PostgreSQL refuses to run as root; root's embedded one runs as this account (macOS: _postgres).
account:
	@if test "$$(id -u)" = 0 && ! id -u postgres >/dev/null 2>&1 && ! id -u _postgres >/dev/null 2>&1; then \
	    echo "creating the system account 'postgres': PostgreSQL does not run as root" >&2; \
	    useradd --system postgres; \
	fi

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.python requirements/run.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@
