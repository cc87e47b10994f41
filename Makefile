# Needs Python 3.11 or newer and make; everything else lands in .venv.
# uv installs faster where it is at hand; pip does the same from the same locks.

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
NEWEST := $(firstword $(foreach p,python3.13 python3.12 python3.11 python3 python,$(if $(shell $(p) -c 'import sys; print("yes" if sys.version_info >= (3, 11) else "")' 2>/dev/null),$(p))))
PYTHON ?= $(NEWEST)
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help app setup test check style format bench study sample notebooks pictures lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST)

app: $(VENV)/.runtime ## the app on the synthetic sample, in .demo/
	$(BIN)/knowngood demo --serve

setup: $(VENV)/.dev ## everything that work on the project needs

# The types are judged while the tests run, and printed after them; either makes it fail.
test: style ## the checks and every test; says what was skipped and why
	@types=$$(mktemp); $(BIN)/mypy >$$types 2>&1 & judge=$$!; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -rs; tests=$$?; \
	wait $$judge; judged=$$?; cat $$types; rm -f $$types; \
	test $$tests -eq 0 -a $$judged -eq 0

check: style ## style, types, and who may import whom
	$(BIN)/mypy

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: setup ## let ruff lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## the benchmark: ratios on this machine, and bench.json (N=10000000: at that size)
	$(BIN)/python -m tests.benchmarks $(if $(N),--sizes $(N))

study: setup ## simulations with known truth, do intervals and promises hold: docs/study-*.md
	$(BIN)/python -m tests.study

sample: setup ## write data/sample again, identically
	$(BIN)/python -m toolkit.synthetic data/sample

notebooks: setup ## the notebooks for Jupyter, in build/notebooks/
	@mkdir -p build/notebooks
	@for notebook in notebooks/*.py; do \
		$(BIN)/marimo -q export ipynb $$notebook -f -o build/notebooks/$$(basename $$notebook .py).ipynb || exit 1; done
	@ls build/notebooks/*.ipynb

pictures: setup ## draw docs/*.png again (needs Chromium)
	$(BIN)/knowngood demo
	$(BIN)/python tests/pictures.py

# The development lock is resolved first and binds the runtime lock: one set of versions, tested and run.
COMPILE = uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate -q
lock: ## resolve the locks anew (needs uv)
	@test -n "$(UV)" || { echo "make lock needs uv on the PATH."; exit 1; }
	$(COMPILE) $(UPGRADE) --extra dev -o requirements-dev.lock
	$(COMPILE) $(UPGRADE) -c requirements-dev.lock -o requirements.lock
	@for lock in requirements-dev.lock requirements.lock; do \
		{ echo "# Exact versions, with the hashes of their files, for every platform. Written by \`make lock\`."; cat $$lock; } > $$lock.new \
		&& mv $$lock.new $$lock; done

clean: ## remove what was built; workspaces stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Knowngood needs Python 3.11 or newer, and found $$(python3 --version 2>/dev/null || echo none). \
	Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Knowngood needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python could not make $(VENV); on Debian: apt-get install python3-venv"; exit 1; }

# $(1): the lock. The project itself is installed without dependencies and without fetching its build backend: both came from the lock.
# $(2): "ahead" compiles what is installed. Tests import most of it; the app never does, and starts sooner without.
ifneq ($(UV),)
install = $(UV) pip install --python $(BIN)/python $(if $(2),--compile-bytecode) --require-hashes -q -r $(1) \
	&& $(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation -q -e .
else
install = $(BIN)/python -m pip install --disable-pip-version-check $(if $(2),,--no-compile) --require-hashes -q -r $(1) \
	&& $(BIN)/python -m pip install --disable-pip-version-check --no-compile --no-deps --no-build-isolation -q -e .
endif

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(call install,requirements.lock)
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(call install,requirements-dev.lock,ahead)
	@touch $(VENV)/.runtime $@
