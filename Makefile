# Two commands for a newcomer: `make demo` and `make test`. Each sets up all it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?=
STUDENT ?=
GUIDE ?=

.PHONY: help demo control experiments benchmark test torture check format clean

help:  ## Show this list.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 10

CHOICES = $(if $(OUT),--out "$(OUT)") $(if $(STUDENT),--student "$(STUDENT)") $(if $(GUIDE),--guide "$(GUIDE)")

demo: $(VENV)/.installed  ## Fine-tune a small model on real text, with and without the guide (OUT=, STUDENT=, GUIDE=).
	$(BIN)/python demo/run.py $(CHOICES)

control: $(VENV)/.installed  ## The same where false negatives are rare and the guide is not needed.
	$(BIN)/python demo/run.py --control $(CHOICES)

experiments: $(VENV)/.installed  ## The paper's experiments at a small scale: one to two hours (docs/experiments.md).
	$(BIN)/python -m experiments

benchmark: $(VENV)/.installed-test  ## Speed, memory and quality against sentence-transformers: hours.
	$(BIN)/python -m benchmarks.loss
	$(BIN)/python -m benchmarks.symmetry
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.pairs
	$(BIN)/python -m benchmarks.loader
	$(BIN)/python -m benchmarks.guide
	$(BIN)/python -m benchmarks.mining
	$(BIN)/python -m benchmarks.guide_precision
	$(BIN)/python -m benchmarks.guide_quality
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.batch_memory
	$(BIN)/python -m benchmarks.guards

test: $(VENV)/.installed-test  ## Run the tests.
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 20 --durations-min 5

torture: $(VENV)/.installed-test  ## Run the same checks over far more cases: minutes to hours.
	$(BIN)/python -m pytest -n 2 --dist worksteal -m torture

check: $(VENV)/.installed-dev  ## Format, lint, docstrings, types, spelling.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/typos

format: $(VENV)/.installed-dev  ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment and everything that was made.
	rm -rf $(VENV) build dist runs demo/cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch comes first and alone: the build that is chosen for this machine is the one that stays.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
