# Set-up, and the few commands people type. Every real step is in the Snakefile.
#
#   make book                        the whole book, from synthetic scenes, in minutes
#   make book PROFILE=laptop DATA_ROOT=../photographs
#   make lab                         the lessons in JupyterLab, to be changed and run
#   make pdf                         that book as one PDF, printed by the browser
#   make kit                         slides, an exercise sheet, solutions: for lecturers
#   make links                       whether the addresses outside the book answer
#   make test                        the whole test suite
#   make test-faults                 fault injection, long; RECORD=1 keeps the counts
#   make mutants                     whether the tests notice changes of the code, an hour
#   make coverage                    which lines and branches the tests reach
#   make lint                        style, types, spelling, direction of imports
#   make format                      mend what the style checker can mend
#   make lock                        new versions: requirements.lock, environment.yml
#   make clean                       remove everything that was made, but .venv
#
# PROFILE       a file in companion/profiles/, or the path of one: quick, laptop, paper ...
# DATA_ROOT     the folder of images and archives
# WEIGHTS_ROOT  the folder of pretrained networks; `weights` beside DATA_ROOT if not given
# SOLUTIONS     hide: a book without answers, and students' notebooks, in _build/student
# CORES         how many the build and the tests may use
# RECORD        1: fault injection also writes its records, tests/faults/records
# PYTHON        the Python, 3.11 to 3.14, that makes .venv

PYTHON ?= python3
PROFILE ?= quick
DATA_ROOT ?=
WEIGHTS_ROOT ?=
SOLUTIONS ?= show
CORES ?= 2
UV := 0.13.9
BIN := .venv/bin
# Our own settings win over those of the machine: its kernels, its site packages.
export PYTHONNOUSERSITE := 1
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_PLATFORM_DIRS := 1
# Every lesson starts a Python of its own: what it imports is compiled once, not each time.
unexport PYTHONDONTWRITEBYTECODE

STAGE = _build/$(basename $(notdir $(PROFILE)))/stage
BOOK = _build/$(if $(filter hide,$(SOLUTIONS)),student/)

.DEFAULT_GOAL := help
.PHONY: help setup book lab pdf kit links test test-faults mutants coverage lint format lock clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: .venv/.complete

# The stamp comes last, so the same command makes an interrupted set-up again. What that
# one left half installed would look installed, so it starts from an empty .venv.
.venv/.complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and \
	  f"found Python {sys.version.split()[0]}, expected 3.11 to 3.14; give another: make PYTHON=python3.12")'
	@rm -f $@
	@test ! -e .venv/.begun && $(BIN)/python -c '' 2>/dev/null && $(BIN)/uv --version >/dev/null 2>&1 || { \
	  rm -rf .venv && $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV); }
	@touch .venv/.begun
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --require-hashes requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable . --editable companion
	@rm .venv/.begun && touch $@

# Without Snakemake's lock, which a killed run would leave: two builds at once are not
# meant. What a killed run left half done is made again.
book: setup
	@$(BIN)/snakemake --cores $(CORES) --nolock --rerun-incomplete --quiet host rules \
	  --config profile='$(PROFILE)' data_root='$(DATA_ROOT)' weights_root='$(WEIGHTS_ROOT)' \
  solutions='$(SOLUTIONS)'
	@echo "the book: $(BOOK)html/index.html"

# Among the notebooks, which then find what `make book` has trained.
lab: setup
	$(BIN)/jupyter-lab notebooks

pdf: book
	$(BIN)/python -m tools.print_book $(BOOK)html $(BOOK)book.pdf

# In the book's folder, whose formulas and style it uses; html/kit.
kit: book
	$(BIN)/python -m tools.teaching_kit $(STAGE) $(BOOK)html

# Sphinx asks every address that the pages name; dead ones are listed and fail.
links: book
	$(BIN)/jupyter-book build $(STAGE) --path-output _build/links --builder linkcheck

# A process per core, of one thread each: more threads than cores wait for one another.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES)

test: setup
	$(PYTEST)

test-faults: setup
	$(PYTEST) tests/faults -m "faults or not faults" \
	  $(if $(RECORD),--record)

# The tests of the book build it, through the commands that the others already measure.
# Those of faults fill the disk on which coverage keeps its numbers, too.
coverage: setup
	$(PYTEST) \
	  --ignore=tests/book --ignore=tests/notebooks --ignore=tests/faults \
	  --cov --cov-report=term-missing:skip-covered --cov-fail-under=95

# One process, one thread each: what is measured is the tests, not the machine.
mutants: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 \
	  $(BIN)/python -m tools.mutants $(if $(RECORD),--record)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/nbstripout --verify --keep-id --keep-metadata-keys metadata.kernelspec notebooks/*.ipynb

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	$(BIN)/uv pip compile --universal --fork-strategy fewest --generate-hashes \
	  --python-version 3.11 --all-extras --no-emit-index-url --no-header --quiet \
	  --output-file requirements.lock pyproject.toml
	$(BIN)/python -m tools.environment > environment.yml
	$(BIN)/python -m tools.environment binder > .binder/environment.yml

clean:
	rm -rf _build .snakemake mutants .coverage
