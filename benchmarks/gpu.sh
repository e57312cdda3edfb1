#!/usr/bin/env bash
# What a machine with a GPU can measure, in under 9 minutes. Usage: benchmarks/gpu.sh [--quick]
# PYTHON names the interpreter; by default that of `make setup`. With --quick it also runs, slowly, without a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
RUNS=$(mktemp -d)
trap 'rm -rf "$RUNS"' EXIT

timeout 360 "$PYTHON" -m benchmarks "$@" gpu_training interpolation

# A whole lottery run through the command line, compact, twice: same bits with --deterministic.
for run in 1 2; do
    timeout 60 "$PYTHON" main.py lottery --dataset=digits --pruning_strategy=synflow --density=0.05 --compact \
        --training_steps=3ep --k=1ep --deterministic --threads=2 --root="$RUNS/$run" --quiet
done
(cd "$RUNS/1" && find . -name 'model_*.safetensors' -exec sha256sum {} + | sort -k2) > "$RUNS/first"
(cd "$RUNS/2" && sha256sum --check --quiet "$RUNS/first") && echo "deterministic: the same bits twice"
