# `make test` on a fresh machine needs Python 3.11, make and pip's access to packages; all else it sets up itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: setup test test-slow lint demo clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/pytest -n 2 -m slow

demo: $(INSTALLED)
	$(BIN)/python -m lit_unlearn.demo demo-world
	$(BIN)/lit-unlearn fit -c demo.yaml

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
