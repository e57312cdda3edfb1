"""ONNX files, checked against PyTorch and timed against the dense network by onnxruntime."""

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from experiments.export.formats import agreement, describe, example, need
from experiments.export.subnetwork import Subnetwork, fresh_network

BATCH, REPETITIONS = 64, 15


def write(subnetwork: Subnetwork, file: Path) -> list[str]:
    """One file, with the normalization in its metadata; what checking and timing it gave."""
    need("onnx onnxscript onnxruntime", "onnx")
    to_onnx(subnetwork.model, subnetwork, file)
    run = session(file)
    found = [agreement(subnetwork, run, "onnxruntime")]
    with tempfile.TemporaryDirectory() as folder:
        dense = replace(subnetwork, model=fresh_network(subnetwork.network).eval())
        to_onnx(dense.model, dense, Path(folder, "dense.onnx"))
        slow, fast = alternate([session(Path(folder, "dense.onnx")), run], example(subnetwork, BATCH))
    return [
        *found,
        f"onnxruntime, batches of {BATCH}: {1000 * fast:.2f} ms, {slow / fast:.2f} times as fast as the dense network "
        f"({1000 * slow:.2f} ms; medians of {REPETITIONS}, taken in turns)",
    ]


def to_onnx(model: nn.Module, subnetwork: Subnetwork, file: Path) -> None:
    """``model`` with inputs called images, of any number, and outputs called logits."""
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model, (example(subnetwork),), dynamo=True, input_names=["images"], output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False,
        )  # fmt: skip
    assert program is not None
    proto: Any = program.model_proto
    onnx.helper.set_model_props(proto, describe(subnetwork))
    onnx.save(proto, file)


def session(file: Path) -> Callable[[Tensor], Tensor]:
    """What onnxruntime makes of images, on the CPU, with as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # The threads of a session go on spinning after a call, in the way of the session that is timed next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    loaded = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(loaded.run(None, {"images": images.numpy()})[0])


def alternate(functions: list[Callable[[Tensor], Tensor]], images: Tensor) -> list[float]:
    """The median of the seconds of each, which take turns."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(REPETITIONS + 1):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function(images)
            taken.append(time.perf_counter() - start)
    return [median(taken[1:]) for taken in seconds]
