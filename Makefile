PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.set-up-to-run-from
STAMP := $(VENV)/.set-up-from
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test torture lint bench

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

setup: $(STAMP)  ## make .venv with the versions of constraints.txt

demo: $(RUNS)  ## AdSynFlow on the bundled digits, under 3 minutes on 2 cores
	$(BIN)/python main.py lottery --dataset=digits --pruning_strategy=adsynflow --levels=0-1

# A stamp says what the environment was made from; make brings it up to date when either file changes.
# The demo needs only what runs; setup adds the tools that test.
$(RUNS): constraints.txt pyproject.toml
	@echo "$(VENV): an environment for Python, $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "1 of 2: PyTorch. The build for CPUs is 0.2 GB to download; the one for CUDA, which pip takes from PyPI, several GB."
	@$(PIP) torch==2.13.0 torchvision==0.28.0
	@echo "2 of 2: this program, matplotlib and what else it needs"
	@$(PIP) --editable '.[plot]'
	@touch $@

$(STAMP): $(RUNS)
	@echo "Tools for tests, and trackers and formats that are tested"
	@$(PIP) --editable '.[plot,dev]'
	@touch $@

test: setup  ## all tests
	$(BIN)/python -m pytest -n 2

torture: setup  ## kills runs at every write, rename and step, and tries 10,000 absurd inputs; nothing may be lost
	$(BIN)/python -m tests.reliability.torture
	$(BIN)/python -W ignore -m tests.reliability.fuzz --cases=10000

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup  ## the benchmarks, as ratios in one run
	$(BIN)/python -m benchmarks
