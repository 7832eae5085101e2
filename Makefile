# Set-up, and the few commands people type. Every real step is in the Snakefile.
#
#   make book                        the whole book, from drawn scenes, in minutes
#   make book PROFILE=laptop DATA_ROOT=../photographs
#   make test                        the whole test suite

PYTHON ?= python3
PROFILE ?= quick
DATA_ROOT ?=
WEIGHTS_ROOT ?= $(if $(DATA_ROOT),$(wildcard $(DATA_ROOT)/../weights))
CORES ?= 2
UV := 0.13.9
BIN := .venv/bin
# Our own settings win over those of the machine: its kernels, its site packages.
export PYTHONNOUSERSITE := 1
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_PLATFORM_DIRS := 1

.DEFAULT_GOAL := help
.PHONY: help setup book test lint format lock clean

help:
	@sed -n 's/^#   //p' Makefile

setup: .venv/.complete

# The stamp comes last, so an interrupted set-up is made again by the same command.
.venv/.complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  f"found Python {sys.version.split()[0]}, expected 3.11 or newer; give another: make PYTHON=python3.12")'
	@rm -f $@
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# A lock left by a killed run is removed: two builds at once are not meant.
book: setup
	@$(BIN)/snakemake --unlock --quiet all $(SETTINGS) 2>/dev/null || true
	@$(BIN)/snakemake --cores $(CORES) --rerun-incomplete --quiet rules $(SETTINGS)
	@echo "the book: _build/html/index.html"

SETTINGS = --config profile='$(PROFILE)' data_root='$(abspath $(DATA_ROOT))' \
  weights_root='$(abspath $(WEIGHTS_ROOT))'

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/nbstripout --verify --keep-metadata-keys metadata.kernelspec notebooks/*.ipynb

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	$(BIN)/uv pip compile --universal --fork-strategy fewest --generate-hashes \
	  --python-version 3.11 --all-extras --no-emit-index-url --no-header --quiet \
	  --output-file requirements.lock pyproject.toml
	$(BIN)/python tools/environment.py > environment.yml

clean:
	rm -rf _build .snakemake
