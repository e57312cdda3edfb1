PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up-from

.DEFAULT_GOAL := help
.PHONY: help setup demo test torture lint bench test-engines

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

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

test-engines: setup  ## Slurm, Ray and worker processes for real, on this machine (Debian, as root)
	which slurmctld slurmd sbatch munged \
		|| (apt-get update && apt-get install --yes --no-install-recommends slurmd slurmctld slurm-client munge) \
		|| echo "Slurm is not installed, and apt-get cannot install it here: what needs it is skipped"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[plot,dev,ray,slurm]'
	$(BIN)/python -m pytest -s tests/engines/prove_local.py tests/engines/prove_slurm.py tests/engines/prove_ray.py
	$(BIN)/python -m tests.engines.many_runs
