# Set-up is one rule: a virtual environment with everything, made again when pyproject.toml or the C code changes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-browser notebooks torture bench bench-looking lint types docs readme check clean setup

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml $(wildcard walrus_sdk/codecs/native/*)
	@echo "setting up $(VENV) (once, takes a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,all]'
	@touch $@

demo: setup  ## deploy a real folder on the embedded local network and show its address
	@$(BIN)/python examples/demo.py

test: setup  ## run all tests but those in a browser
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal --ignore tests/browser

torture: setup  ## the proof at length: seeds, pairs of deaths, power cuts, kills, planted bugs (about an hour)
	@$(BIN)/python -m tests.torture long

notebooks: setup  ## run all notebooks from top to bottom, offline; the documentation and tests use what they say
	@$(BIN)/python notebooks/run.py
	@REQUIRE_NOTEBOOKS=1 $(BIN)/python -m pytest -q -n0 tests/notebook/test_notebooks.py

test-browser: setup  ## JupyterLab in a headless Chromium: buttons pressed, effects read; screenshots in docs/_build/screens
	@$(BIN)/python -m pytest -q -n0 tests/browser

bench-looking: setup  ## what watching, history and a notebook's panel cost (an hour)
	@$(BIN)/python -m benchmarks history-frames watching alerting panel-page panel-cpu

bench: setup  ## comparisons side by side: a table, JSON and a plot in benchmarks/results
	@$(BIN)/python -m benchmarks

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

docs: setup  ## build the documentation; warnings are errors
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

readme: setup  ## record the demo's output into README.md
	@$(BIN)/python docs/record_demo.py

check: lint types test docs  ## everything that a change must pass

clean:
	rm -rf $(VENV) docs/_build .mypy_cache .ruff_cache .pytest_cache
