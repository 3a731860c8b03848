# `make test` on a fresh machine needs Python 3.11, make and pip's access to packages; all else it sets up itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: setup test test-slow lint demo results clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,report,tune]'
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/pytest -n 2 -m slow

# One thread each: two processes of two threads are far slower on two cores.
demo: export OMP_NUM_THREADS = 1
demo: $(INSTALLED)
	$(BIN)/lit-unlearn fit -c demo.yaml --trainer.default_root_dir $(DEMO)/rmu & \
	$(BIN)/lit-unlearn fit -c demo.yaml --trainer.default_root_dir $(DEMO)/rmu-rna --model.noise_scale 1.5 \
		> /dev/null 2>&1 & wait
	$(BIN)/lit-unlearn fit -c demo.yaml --trainer.default_root_dir $(DEMO)/half-lr --model.optimizer.lr 1.5e-4
	$(BIN)/lit-unlearn report $(DEMO)/rmu $(DEMO)/rmu-rna $(DEMO)/half-lr --out $(DEMO)/report
	@echo "Next: change a number, e.g. .venv/bin/lit-unlearn fit -c demo.yaml --model.forget.coefficient 8"

# The study of docs/results.md; what is done is not run again.
results: export OMP_NUM_THREADS = 1
results: $(INSTALLED)
	$(BIN)/python -m lit_unlearn.demo.results

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
