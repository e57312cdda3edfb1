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

timeout 80 "$PYTHON" -m benchmarks "$@" open_lth interpolation || true

# The whole training as everybody runs it: data, evaluation and checkpoints included.
if [ -n "${ADSYNFLOW_DATA:-}" ]; then
    started=$(date +%s)
    timeout 90 "$PYTHON" main.py train --model=cifar_resnet_20 --recipe=open_lth --precision=bf16 \
        --training_steps=160ep --root="$RUNS/train" --quiet || true
    echo "160 epochs of ResNet-20, bf16, end to end: $(($(date +%s) - started)) s (aim: 60 s)"
fi

# Processes share a GPU at the same time under NVIDIA's MPS, and by turns without.
export CUDA_MPS_PIPE_DIRECTORY=$RUNS/mps CUDA_MPS_LOG_DIRECTORY=$RUNS/mps
mkdir -p "$RUNS/mps"
if nvidia-cuda-mps-control -d >/dev/null 2>&1; then echo "MPS: on"; else echo "MPS: none; runs take turns"; fi
timeout 180 "$PYTHON" -m benchmarks "$@" gpu_training || true
echo quit | nvidia-cuda-mps-control >/dev/null 2>&1 || true

# A whole lottery run through the command line, compact, twice: same bits with --deterministic.
for run in 1 2; do
    timeout 40 "$PYTHON" main.py lottery --dataset=digits --pruning_strategy=synflow --density=0.05 --compact \
        --training_steps=3ep --k=1ep --deterministic --threads=2 --root="$RUNS/$run" --quiet
done
(cd "$RUNS/1" && find . -name 'model_*.safetensors' -exec sha256sum {} + | sort -k2) > "$RUNS/first"
(cd "$RUNS/2" && sha256sum --check --quiet "$RUNS/first") && echo "deterministic: the same bits twice"

timeout 140 "$PYTHON" -m benchmarks "$@" accuracy || true
