"""ResNet-20 on a GPU: arithmetic, CUDA graphs, compilation, runs at once. Without one it says so, and is done."""

import json
import os
import subprocess
import sys
import time

from benchmarks.measuring import CHECKOUT, Row, Settings, in_child, make_state, ratio, synthetic_data

EPOCH = 391
"""Steps of an epoch of CIFAR-10 in batches of 128."""
KINDS = ("fp32 unrecorded", "fp32", "tf32", "bf16 unrecorded", "bf16", "bf16 compiled")


def measure(settings: Settings) -> list[Row]:
    """Each kind of training in a process of its own; on a CPU only with --quick, as a trial of the code."""
    import torch

    if not (torch.cuda.is_available() or settings.quick):
        return [Row("GPU", "none here; benchmarks/gpu.sh is for a machine with one")]
    kinds = settings.pick(KINDS, ("fp32",))
    found = {kind: in_child("gpu_training", kind, settings.pick(3, 1), settings=settings) for kind in kinds}
    rows = []
    for kind, (step, warm_up) in found.items():
        whole = warm_up + 160 * EPOCH * step
        result = f"{1000 * step:.2f} ms, {warm_up:.0f} s, {whole:.0f} s"
        rows.append(Row(f"{kind}: ms a step, warm-up, 160 epochs with it", result, "0.96 ms" if "bf16" in kind else ""))
    for kind in (kind for kind in kinds if f"{kind} unrecorded" in kinds):
        rows.append(Row(f"recorded, {kind}: faster by", ratio(found[f"{kind} unrecorded"][0], found[kind][0])))
    kind = settings.pick("bf16", "fp32")
    for count in settings.pick((4, 8), (2,)):
        together = steps_at_once(kind, count, settings)
        what = f"{count} runs at once ({kind}), against one after the other"
        rows.append(Row(what, ratio(together, 1 / found[kind][0]), "2.5x at best"))
    return rows


def steps_at_once(kind: str, count: int, settings: Settings) -> float:
    """Steps a second of ``count`` processes, all together."""
    start = time.time() + settings.pick(25, 20)  # by then all have warmed up
    seconds = settings.pick(5, 1)
    command = [sys.executable, "-m", "benchmarks.gpu_training", kind, str(seconds), str(start)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # the device does the work
    children = [
        subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    outputs = [child.communicate()[0] for child in children]
    return sum(1 / float(json.loads(output.splitlines()[-1])[0]) for output in outputs)


def train_for(kind: str, seconds: float, start: float = 0.0) -> tuple[float, float]:
    """Seconds of a step, measured over ``seconds`` after a warm-up; and those of the warm-up.

    Whole epochs, so that what is drawn once an epoch is in it; a step that waits for the device ends it with an error.

    Args:
        kind: arithmetic, and "compiled" for ``--compile`` or "unrecorded" for kernels launched one by one.
        seconds: how long.
        start: not before this time (``time.time()``).
    """
    import torch

    from training.loop import step, train

    began = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = synthetic_data(50_000 if device.type == "cuda" else 512, device=device)
    precision, _, way = kind.partition(" ")
    state, hparams = make_state("cifar_resnet_20", data, precision=precision, compile=way == "compiled")
    if way == "unrecorded":
        state.captured_step = None

    def go_on(steps: int) -> None:
        train(state, data, hparams, until=state.iteration + steps)
        state.running_metrics.cpu()  # waits for the device

    epoch = data.iterations_per_epoch
    go_on(epoch)
    warm_up = time.perf_counter() - began
    batches = list(data.batches(state.noise.epoch(0), 0, 1))
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    step(state, batches, hparams, data)
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("default")
    go_on(epoch - 1)  # to the end of the epoch
    if start and (late := time.time() - start) > 0:
        raise RuntimeError(f"the warm-up took {late:.0f} s longer than foreseen")
    time.sleep(max(0.0, start - time.time()))
    first, steps = time.perf_counter(), 0
    while time.perf_counter() - first < seconds:
        go_on(epoch)
        steps += epoch
    return (time.perf_counter() - first) / steps, warm_up


if __name__ == "__main__":
    print(json.dumps(train_for(sys.argv[1], float(sys.argv[2]), *map(float, sys.argv[3:]))))
