#!/usr/bin/env bash
# What a machine with a GPU can measure, in under 9 minutes. Usage: benchmarks/gpu.sh [--quick]
# PYTHON names the interpreter; by default that of `make setup`. With --quick it also runs, slowly, without a GPU.
# OPEN_LTH: a checkout of github.com/facebookresearch/open_lth to compare with. ADSYNFLOW_DATA: where CIFAR-10 lies.
# Each part has a time limit; together they stay below nine minutes, and one that fails does not take the others along.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
RUNS=$(mktemp -d)
finish() {
    echo quit | nvidia-cuda-mps-control >/dev/null 2>&1 || true
    rm -rf "$RUNS"
}
trap finish EXIT

limited() {  # seconds, command
    timeout "$@" || echo "failed, or not done after $1 s: ${*:2}"
}

limited 60 "$PYTHON" -m benchmarks "$@" open_lth
limited 20 "$PYTHON" -m benchmarks "$@" interpolation

# The whole training as everybody runs it: evaluation and checkpoints included; the images have been decoded before.
if [ -n "${ADSYNFLOW_DATA:-}" ]; then
    train=("$PYTHON" main.py train --model=cifar_resnet_20 --recipe=open_lth --precision=bf16 --quiet)
    limited 35 "${train[@]}" --training_steps=1it --root="$RUNS/decoded"
    started=$(date +%s)
    limited 75 "${train[@]}" --training_steps=160ep --root="$RUNS/train"
    echo "160 epochs of ResNet-20, bf16, end to end: $(($(date +%s) - started)) s (aim: 60 s)"
fi

# Processes share a GPU at the same time under NVIDIA's MPS, and by turns without.
export CUDA_MPS_PIPE_DIRECTORY=$RUNS/mps CUDA_MPS_LOG_DIRECTORY=$RUNS/mps
mkdir -p "$RUNS/mps"
if nvidia-cuda-mps-control -d >/dev/null 2>&1; then echo "MPS: on"; else echo "MPS: none; runs take turns"; fi
limited 185 "$PYTHON" -m benchmarks "$@" gpu_training
echo quit | nvidia-cuda-mps-control >/dev/null 2>&1 || true

# A whole lottery run through the command line, compact, twice: same bits with --deterministic.
for run in 1 2; do
    limited 20 "$PYTHON" main.py lottery --dataset=digits --pruning_strategy=synflow --density=0.05 --compact \
        --training_steps=3ep --k=1ep --deterministic --threads=2 --root="$RUNS/$run" --quiet
done
models() { (cd "$RUNS/$1" && find . -name 'model_*.safetensors' -exec sha256sum {} + | sort -k2); }
if [ -n "$(models 1)" ] && [ "$(models 1)" = "$(models 2)" ]; then
    echo "deterministic: the same bits twice"
else
    echo "deterministic: other bits, or none"
fi

limited 120 "$PYTHON" -m benchmarks "$@" accuracy
