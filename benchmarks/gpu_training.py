"""ResNet-20 on a GPU: arithmetic, compilation, and several runs at once. Without a GPU it says so, and does nothing."""

import json
import os
import subprocess
import sys
import time
from typing import Any

from benchmarks.measuring import CHECKOUT, Row, Settings, in_child, make_state, ratio, synthetic_data

EPOCH = 391
"""Steps of an epoch of CIFAR-10 in batches of 128."""
KINDS = ("fp32", "tf32", "bf16", "bf16 compiled")


def measure(settings: Settings) -> list[Row]:
    """Each kind of training in a process of its own; on a CPU only with --quick, as a trial of the code."""
    import torch

    if not (torch.cuda.is_available() or settings.quick):
        return [Row("GPU", "none here; benchmarks/gpu.sh is for a machine with one")]
    kinds = settings.pick(KINDS, ("fp32", "bf16 compiled"))
    found = {kind: in_child("gpu_training", kind, settings.pick(15, 1), settings=settings) for kind in kinds}
    rows = []
    for kind, (step, warm_up) in found.items():
        whole = warm_up + 160 * EPOCH * step
        result = f"{1000 * step:.2f} ms, {warm_up:.0f} s, {whole:.0f} s"
        rows.append(Row(f"{kind}: ms a step, warm-up, 160 epochs with it", result, "0.96 ms" if "bf16" in kind else ""))
    fastest = min(found, key=lambda kind: float(found[kind][0]))
    alone = found[fastest][0]
    for count in settings.pick((2, 4, 8), (2,)):
        together = steps_at_once(fastest, count, settings)
        aim = "2.5x at best" if count > 2 else ""
        rows.append(
            Row(f"{count} runs at once ({fastest}), against one after the other", ratio(together, 1 / alone), aim)
        )
    return rows


def steps_at_once(kind: str, count: int, settings: Settings) -> float:
    """Steps a second of ``count`` processes, all together."""
    start = time.time() + settings.pick(60, 20)  # by then all have warmed up
    seconds = settings.pick(10, 1)
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

    Args:
        kind: arithmetic, and "compiled" for torch.compile.
        seconds: how long.
        start: not before this time (``time.time()``).
    """
    import torch

    from training.loop import train

    began = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = synthetic_data(50_000 if device.type == "cuda" else 512, device=device)
    precision, _, compiled = kind.partition(" ")
    state, hparams = make_state("cifar_resnet_20", data, precision=precision if device.type == "cuda" else "fp32")
    if compiled:
        backend: dict[str, Any] = {"mode": "reduce-overhead"} if device.type == "cuda" else {"backend": "eager"}
        state.model = torch.compile(state.model, **backend)

    def go_on(steps: int) -> None:
        train(state, data, hparams, until=state.iteration + steps)
        state.tally.cpu()  # waits for the device

    chunk = 50 if device.type == "cuda" else 1
    go_on(chunk)
    warm_up = time.perf_counter() - began
    if start and (late := time.time() - start) > 0:
        raise RuntimeError(f"the warm-up took {late:.0f} s longer than foreseen")
    time.sleep(max(0.0, start - time.time()))
    first, steps = time.perf_counter(), 0
    while time.perf_counter() - first < seconds:
        go_on(chunk)
        steps += chunk
    return (time.perf_counter() - first) / steps, warm_up


if __name__ == "__main__":
    print(json.dumps(train_for(sys.argv[1], float(sys.argv[2]), *map(float, sys.argv[3:]))))
