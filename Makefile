PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up-from

.DEFAULT_GOAL := help
STUDIES := thesis thesis-medium thesis-small thesis-mnist thesis-imagenet
.PHONY: help setup demo test torture lint bench $(STUDIES)

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

setup: $(STAMP)  ## make .venv with the versions of constraints.txt

# One stamp holds what the environment was made from; make rebuilds it when either file changes.
$(STAMP): constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0 torchvision==0.28.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[plot,dev]'
	touch $@

demo: setup  ## AdSynFlow on the bundled digits, under 3 minutes on 2 cores
	$(BIN)/python main.py lottery --dataset=digits --pruning_strategy=adsynflow --levels=0-1

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

thesis: setup  ## the thesis repeated, for a GPU; thesis-medium, -small, -mnist, -imagenet at other sizes; ARGS=--dry_run
$(STUDIES): setup
	$(BIN)/python -m benchmarks.studies $@ $(ARGS)
