#!/usr/bin/env bash
# What a machine with a GPU can measure, in under 9 minutes; gpu.md says what to look for. Usage: benchmarks/gpu.sh [--quick]
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

# Bits first: a number from a step that computes something else is worth nothing. One small lottery run, compact, with
# what may make no difference: twice; kernels launched one by one; two replicates in turns; begun on the CPU.
run() {  # name, flags
    limited 15 "$PYTHON" main.py lottery --dataset=digits --pruning_strategy=synflow --density=0.05 --compact \
        --training_steps=3ep --k=1ep --deterministic --threads=2 --quiet --root="$RUNS/$1" "${@:2}"
}
weights() { (cd "$RUNS/$1" && find . -path '*replicate_1*' -name 'model_*.safetensors' -exec sha256sum {} + | sort -k2); }
same() {  # name, what
    if [ -n "$(weights captured)" ] && [ "$(weights captured)" = "$(weights "$1")" ]; then
        echo "$2: the same bits"
    else
        echo "$2: OTHER BITS, or none"
    fi
}
run captured
run again
same again "twice"
run uncaptured --cuda_graphs=off
same uncaptured "captured and launched one by one"
run at_once --at_once=2 --replicate=1-2
same at_once "--at_once=2"
limited 15 "$PYTHON" main.py train --dataset=digits --training_steps=3ep --to=1 --device=cpu --deterministic --threads=2 \
    --quiet --root="$RUNS/moved"
run moved && echo "begun on the CPU, gone on with on the GPU: done"

limited 45 "$PYTHON" -m benchmarks "$@" open_lth
limited 15 "$PYTHON" -m benchmarks "$@" interpolation

# The whole training as everybody runs it: evaluation and checkpoints included; the images have been decoded before.
if [ -n "${ADSYNFLOW_DATA:-}" ]; then
    train=("$PYTHON" main.py train --model=cifar_resnet_20 --recipe=open_lth --precision=bf16 --quiet)
    limited 30 "${train[@]}" --training_steps=1it --root="$RUNS/decoded"
    started=$(date +%s)
    limited 70 "${train[@]}" --training_steps=160ep --root="$RUNS/train"
    echo "160 epochs of ResNet-20, bf16, end to end: $(($(date +%s) - started)) s (aim: 60 s)"
fi

# Processes share a GPU at the same time under NVIDIA's MPS, and by turns without.
export CUDA_MPS_PIPE_DIRECTORY=$RUNS/mps CUDA_MPS_LOG_DIRECTORY=$RUNS/mps
mkdir -p "$RUNS/mps"
if nvidia-cuda-mps-control -d >/dev/null 2>&1; then echo "MPS: on"; else echo "MPS: none; runs take turns"; fi
limited 150 "$PYTHON" -m benchmarks "$@" gpu_training
echo quit | nvidia-cuda-mps-control >/dev/null 2>&1 || true

# Four replicates of LeNet one after the other, and at once in one process.
lenets() {
    started=$(date +%s%N)
    limited 35 "$PYTHON" main.py train --model=mnist_lenet_300_100 --dataset=digits --training_steps=60ep --replicate=1-4 \
        --quiet --root="$RUNS/$1" "${@:2}" >/dev/null
    echo "4 LeNets, $1: $((($(date +%s%N) - started) / 1000000)) ms"
}
lenets one_after_the_other
lenets side_by_side --at_once=4

limited 60 "$PYTHON" -m benchmarks "$@" accuracy
