# Everything happens in .venv, made from the first Python 3.10 or later that works.
# `make` alone lists the targets. Choose an interpreter with `make test PYTHON=python3.12`.

PYTHON ?=
DATA ?= mnist
PML ?=
JAX ?=
TORCH ?=
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# Tests that are next to each other in a file share models, so each process runs a contiguous range of
# them; one that finishes early takes over part of another's.
PYTEST = $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal
# Slow tests wait for servers and for processes that they start: one more keeps the cores busy.
test-slow test-all: JOBS := 3
# The other backends, and the packages that their tests need.
BACKENDS ?= jax torch
PACKAGE_jax := jax
PACKAGE_torch := torch==2.13.0
EXTRAS = $(patsubst $(VENV)/.installed-%,%,$@)

.PHONY: help demo test test-slow test-all test-jax test-torch test-backends coverage lint format types docs docs-serve bench build clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed-demo  ## Train, index, look up, calibrate, evaluate, save, reload (DATA=mnist|digits|fashion)
	@$(BIN)/python examples/demo.py --data $(DATA)

test: $(VENV)/.installed-test  ## Run the fast tests
	@$(PYTEST)

test-slow: $(VENV)/.installed-test-slow  ## Run the slow tests only
	@$(PYTEST) -m slow

test-all: $(VENV)/.installed-test-slow  ## Run every test
	@$(PYTEST) -m "slow or not slow"

coverage: $(VENV)/.installed-coverage  ## Run the fast tests and report the lines they reach, in out/coverage
	@$(PYTEST) --cov=tensorflow_similarity --cov=_tfsim --cov-report=term:skip-covered --cov-report=html:out/coverage

test-jax: $(VENV)-jax/.installed  ## Run the fast tests of the JAX backend
	@KERAS_BACKEND=jax $(VENV)-jax/bin/python -m pytest -q tests/backends

test-torch: $(VENV)-torch/.installed  ## Run the fast tests of the PyTorch backend
	@KERAS_BACKEND=torch $(VENV)-torch/bin/python -m pytest -q tests/backends

test-backends: $(BACKENDS:%=$(VENV)-%/.installed)  ## Run every test of both backends (BACKENDS=jax or torch for one)
	@set -e; for backend in $(BACKENDS); do \
		KERAS_BACKEND=$$backend $(VENV)-$$backend/bin/python -m pytest -q tests/backends -m "slow or not slow"; done

lint: $(VENV)/.installed-lint  ## Check code style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.installed-lint  ## Fix what the linter can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.installed-lint  ## Check type annotations
	@$(BIN)/mypy

docs: $(VENV)/.installed-docs  ## Build the site into site/; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html, or run: make docs-serve"

docs-serve: $(VENV)/.installed-docs  ## Serve the site locally, rebuilt on every change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench: $(VENV)/.installed-test  ## Measure speed, compare with the last run, write docs/speed.md (PML=a python with pytorch-metric-learning)
	@$(BIN)/python benchmarks/speed.py --pml "$(PML)" --jax "$(JAX)" --torch "$(TORCH)"

build: $(VENV)/.installed-test  ## Build the wheel and the source archive into dist/
	@$(BIN)/python -m build --quiet

clean:  ## Remove everything that make created
	@rm -rf $(VENV) $(VENV)-jax $(VENV)-torch build dist site out .mypy_cache .pytest_cache .ruff_cache .hypothesis

# One stamp file per set of extras: they are installed again only when pyproject.toml changes.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/.made
	@echo "Installing keras-similarity[$(EXTRAS)] into $(VENV) (the first time takes some minutes)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[$(EXTRAS)]"
	@touch $@

# An environment for each other backend, which takes all but the backend from .venv.
$(VENV)-%/.installed: pyproject.toml | $(VENV)/.installed-test
	@echo "Installing $(PACKAGE_$*) into $(VENV)-$*"
	@rm -rf $(VENV)-$*
	@$(BIN)/python -m venv --without-pip $(VENV)-$*
	@$(BIN)/python -c "import pathlib, sysconfig; \
		pathlib.Path('$(VENV)-$*', *pathlib.Path(sysconfig.get_path('purelib')).parts[-3:], 'main.pth').write_text( \
		'import site; site.addsitedir(' + repr(sysconfig.get_path('purelib')) + ')')"
	@$(BIN)/python -m pip --python $(VENV)-$*/bin/python install -qq --disable-pip-version-check --no-compile $(PACKAGE_$*)
	@touch $@

$(VENV)/.made:
	@set -e; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.10 python); do \
		if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$($$python --version)"; \
			rm -rf $(VENV); \
			$$python -m venv $(VENV); \
			touch $@; \
			exit 0; \
		fi; \
	done; \
	echo "No Python 3.10 or later with the venv module was found$(if $(PYTHON), at PYTHON=$(PYTHON))." >&2; \
	echo "Install one (on Debian: apt-get install python3 python3-venv), or name one: make test PYTHON=/path/to/python3" >&2; \
	exit 1
