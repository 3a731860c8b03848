# `make test` on a fresh machine needs Python 3.11, make and pip's access to packages; all else it sets up itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
LOWER := .venv-lower
# The command line, the configs, the core and what each extra is for.
CORE := tests/test_cli.py tests/test_configs.py tests/test_lower_bounds.py \
	$(addprefix tests/,answers losses models modules running harness) \
	$(addprefix tests/commands/,options fit sweep report analysis)
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)
SLOWEST := --durations=20 --durations-min=1
FULL := runs/full-report
NOISE := $(FULL)/noise/noise_scale=
# Of all perturbations, those that analyses take.
FEW := --data.perturbations='{1-gram: {n: 1, sets: [retain]}, 4-gram: {n: 4, sets: [retain]}, prefix: {n: sentence, position: prefix, sets: [retain]}}'

# Each test run starts many processes: what one has compiled the others need not.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-bounds setup-docs test test-slow test-bounds lint docs demo full-report results mixing bench clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,report,tune,lora]'
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Of a file all tests run in one process: what they share is made once.
test: lint
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow" $(SLOWEST)

# What a user may have at the oldest: the lower bounds of pyproject.toml, in an environment of their own.
test-bounds: setup-bounds
	$(LOWER)/bin/pytest -n 2 --dist loadfile -m "not slow" $(SLOWEST) $(CORE)

setup-bounds: $(LOWER)/installed

$(LOWER)/installed: pyproject.toml tests/lower-bounds.txt
	$(PYTHON) -m venv $(LOWER)
	$(LOWER)/bin/pip install --quiet --constraint tests/lower-bounds.txt --editable '.[dev,report,tune,lora]'
	touch $@

# The site, in build/site/index.html: links, anchors and the navigation are checked. npm fetches MathJax the first time.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/docs-installed
	$(BIN)/python -m mkdocs build --strict

setup-docs: $(VENV)/docs-installed

$(VENV)/docs-installed: $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

# What costly tests share is made once: they are in a group, whose tests run in one process.
test-slow: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadgroup -m slow $(SLOWEST)

# Three seeds of each method, one process for each method and two at a time. One thread each: two processes of two
# threads are far slower on two cores. Of two at once, both must succeed: `wait` alone would forgive the one in the
# background. The base is the same for all, and so are its answers.
demo: export OMP_NUM_THREADS = 1
demo: export TQDM_DISABLE = 1
# Free answers, of 96 facts of each set, beside those of a model that never saw what is forgotten.
demo: ANSWERS = --data.answer_rows 96
demo: SWEEP = $(BIN)/lit-unlearn sweep -c demo.yaml --seeds 3 --model.answer_store $(DEMO)/answers $(ANSWERS) \
	--trainer.callbacks+=AnswerEvaluation --trainer.callbacks.max_new_tokens 2 --trainer.callbacks.reference $(DEMO)/reference
demo: $(INSTALLED)
	$(BIN)/lit-unlearn validate --model demo-retain-only -c demo_answers.yaml $(ANSWERS) --trainer.default_root_dir $(DEMO)/reference
	$(SWEEP) --out $(DEMO)/rmu-rna --model.noise_scale 1.5 & \
	$(SWEEP) --out $(DEMO)/rmu --trainer.callbacks+=Interpolation && wait $$!
	$(SWEEP) --out $(DEMO)/half-lr --model.optimizer.lr 1.5e-4 & \
	$(SWEEP) --out $(DEMO)/rmu-mixing -c demo_mixing.yaml && wait $$!
	rm -r $(DEMO)/answers
	$(BIN)/lit-unlearn report --method $(DEMO)/rmu $(DEMO)/rmu-rna $(DEMO)/half-lr $(DEMO)/rmu-mixing --forgetting nll \
		--out $(DEMO)/report
	@echo "Next: change a number, e.g. .venv/bin/lit-unlearn fit -c demo.yaml --model.forget.coefficient 8"

# Every protocol, sweep and analysis on the demo world, and their page; what is done is not run again.
full-report: export OMP_NUM_THREADS = 1
full-report: SWEEP = $(BIN)/lit-unlearn sweep --workers 2 --trainer.enable_progress_bar false
full-report: ANALYSE = sh -c 'test -d $$1/analysis/$$0 || $(BIN)/lit-unlearn analyse "$$0" "$$@"'
full-report: $(INSTALLED)
	mkdir -p $(FULL)
	test -f $(FULL)/forget_tokens.json || $(BIN)/lit-unlearn forget-tokens -c demo.yaml --out $(FULL)/forget_tokens.json
	$(SWEEP) -c demo.yaml -c demo_full.yaml --over model.noise_scale=0,0.5,1.5 --seeds 3 --out $(FULL)/noise
	$(SWEEP) -c demo.yaml -c demo_full.yaml --over model.optimizer.lr=1.5e-4 --seeds 3 --out $(FULL)/half-lr
	$(SWEEP) -c demo.yaml --over model.forget.init_args.coefficient=4,40 --seeds 1 --out $(FULL)/coefficient
	$(ANALYSE) maxlogit $(NOISE)0/seed-0 $(NOISE)0.5/seed-0 $(FULL)/half-lr/*/seed-0 $(FEW) & \
	$(ANALYSE) output-variance $(NOISE)0/seed-0 $(NOISE)1.5/seed-0 $(FEW) && wait $$!
	$(ANALYSE) reject-probability $(NOISE)0/seed-0 $(NOISE)1.5/seed-0 $(FEW) & \
	$(ANALYSE) logit-lens $(NOISE)0/seed-0 $(NOISE)0.5/seed-0 && wait $$!
	$(ANALYSE) alignment $(NOISE)0/seed-0 $(FULL)/coefficient/*/seed-0 & \
	$(ANALYSE) streams $(NOISE)0/seed-0 && $(ANALYSE) spillover $(NOISE)0/seed-0 $(FEW) && wait $$!
	$(BIN)/lit-unlearn report --method $(NOISE)0 $(FULL)/noise/*/ $(FULL)/half-lr/*/ $(NOISE)0@step=100 $(NOISE)0@interpolation=0.7 \
		--out $(FULL)/report

# The studies of docs/results.md and docs/mixing.md; what is done is not run again.
results mixing: export OMP_NUM_THREADS = 1
results: $(INSTALLED)
	$(BIN)/python -m benchmarks.study.results methods
mixing: $(INSTALLED)
	$(BIN)/python -m benchmarks.study.results mixing

# A training step beside the published way.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.step --json benchmarks.json

clean:
	rm -rf $(VENV) $(LOWER) build dist .mypy_cache .ruff_cache .pytest_cache
