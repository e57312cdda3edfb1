"""The formats: each function writes the files of one, and its docstring says on the model card how to use it."""

import copy
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils import prune

from experiments.exchange.export import Subnetwork, export_formats, refuse_difference
from foundations.errors import UsageError, first_line, needed
from foundations.store import Store

TOLERANCE = 1e-5
"""How far the outputs of a network in another format may be from PyTorch's, against the largest of them."""
BATCH, REPETITIONS = 64, 15
"""How networks are timed."""


@export_formats.register("safetensors")
def write_safetensors(subnetwork: Subnetwork, folder: Path) -> list[str]:
    """`model.safetensors` has weights and buffers by their names, pruned weights zero; `mask.safetensors` bool tensors.

    ```python
    from safetensors.torch import load_file

    model.load_state_dict(load_file("model.safetensors"))  # any module with these names and shapes
    mask = load_file("mask.safetensors")  # {"conv.weight": tensor of bool, ...}
    ```
    """
    files = Store(folder)
    files.write_bytes("model.safetensors", save(plain(subnetwork.model.state_dict()), describe(subnetwork)))
    files.write_bytes("mask.safetensors", save(plain(subnetwork.mask)))
    return [agreement_of_state(subnetwork, load_file(folder / "model.safetensors"), "model.safetensors")]


@export_formats.register("torch")
def write_torch(subnetwork: Subnetwork, folder: Path) -> list[str]:
    """`ticket.pt` is a state dict as `torch.nn.utils.prune` has it (`conv.weight_orig`, `conv.weight_mask`).

    ```python
    import torch
    from torch.nn.utils import prune

    tensors = torch.load("ticket.pt", weights_only=True)
    masks = {name.removesuffix("_mask"): tensors.pop(name) for name in list(tensors) if name.endswith("_mask")}
    model.load_state_dict({name.removesuffix("_orig"): value for name, value in tensors.items()})
    for name, mask in masks.items():  # any module with these names and shapes
        layer, _, parameter = name.rpartition(".")
        prune.custom_from_mask(model.get_submodule(layer), parameter, mask)
    ```

    `network.pt2` has the architecture, too, where PyTorch can trace it; it needs nothing but PyTorch:

    ```python
    network = torch.export.load("network.pt2").module()  # images -> logits
    ```
    """
    tensors = {}
    for name, value in subnetwork.model.state_dict().items():
        if name in subnetwork.mask:
            tensors[f"{name}_orig"] = value
            tensors[f"{name}_mask"] = subnetwork.mask[name].to(value.dtype)
        else:
            tensors[name] = value
    torch.save(plain(tensors), folder / "ticket.pt")
    again = torch.load(folder / "ticket.pt", weights_only=True)
    masks = {name: again.pop(f"{name}_mask") for name in subnetwork.mask}
    weights = {name.removesuffix("_orig"): value for name, value in again.items()}
    found = agreement_of_state(subnetwork, weights, "ticket.pt", masks)
    batch = torch.export.Dim("batch")
    try:
        program = torch.export.export(subnetwork.model, (subnetwork.noise(8),), dynamic_shapes=({0: batch},))
    except Exception as error:  # whatever the tracing of somebody else's network raises
        return [found, f"network.pt2 is left out: {cannot_be_traced(subnetwork.model, error)}"]
    torch.export.save(program, folder / "network.pt2")
    loaded = torch.export.load(folder / "network.pt2").module()
    return [found, agreement(subnetwork, lambda images: loaded(images), "network.pt2")]


@export_formats.register("onnx")
def write_onnx(subnetwork: Subnetwork, folder: Path) -> list[str]:
    """`network.onnx` takes normalized images (batch, channels, height, width) and gives logits; for any runtime.

    ```python
    import onnxruntime

    session = onnxruntime.InferenceSession("network.onnx")
    (logits,) = session.run(None, {"images": images})
    ```
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        needed(package, "--format=onnx", "adsynflow[onnx]")
    to_onnx(subnetwork.model, subnetwork, folder / "network.onnx")
    run = session(folder / "network.onnx")
    found = [agreement(subnetwork, run, "network.onnx")]
    if not subnetwork.is_compact:
        return found  # the same multiplications as those of the dense network: there is nothing to time
    with tempfile.TemporaryDirectory() as place:
        to_onnx(subnetwork.fresh("dense"), subnetwork, Path(place, "dense.onnx"))
        dense, own = in_turns([session(Path(place, "dense.onnx")), run], subnetwork.noise(BATCH))
    return [*found, speed(dense, own)]


def cannot_be_traced(model: nn.Module, error: Exception) -> str:
    return f"torch.export cannot trace {type(model).__name__} for batches of any size ({first_line(error)})"


def plain(tensors: Any) -> dict[str, Tensor]:
    """Return the tensors on the CPU, in plain memory order, each with memory of its own."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def describe(subnetwork: Subnetwork) -> dict[str, str]:
    """Return the one metadata entry of a file: what the network is and what its inputs are."""
    return {"adsynflow": json.dumps({**subnetwork.network, "compact": subnetwork.is_compact}, sort_keys=True)}


@torch.no_grad()
def agreement(subnetwork: Subnetwork, run: Callable[[Tensor], Tensor], what: str) -> str:
    """Say how far the outputs of what was written are from the network's; raises like ``refuse_difference``."""
    images = subnetwork.noise(16)
    try:
        outputs = run(images)
    except Exception as error:  # a runtime's, of a network that was traced with another number of images
        complaint = f"{what}: it takes no batch of 16 ({first_line(error)}); valid: --format=safetensors"
        raise UsageError(complaint) from error
    apart = refuse_difference(what, subnetwork.model(images), outputs, TOLERANCE)
    return f"{what}: outputs within {apart:.1e} of the network's on noise, relative to the largest"


def agreement_of_state(
    subnetwork: Subnetwork, state: Mapping[str, Tensor], what: str, masks: Mapping[str, Tensor] | None = None
) -> str:
    """Say the same of a state dict, put into another network of the same architecture, as the model card says.

    A network with numbers of its own that are not in its state dict is refused: nobody else could use the file.
    ``masks`` are put on afterwards, since a weight that is used without its layer's call is masked just then.
    """
    other = copy.deepcopy(subnetwork.model) if subnetwork.is_compact else subnetwork.fresh("another one")
    other.load_state_dict(dict(state))
    for name, mask in (masks or {}).items():
        layer, _, parameter = name.rpartition(".")
        prune.custom_from_mask(other.get_submodule(layer), parameter, mask)
    return agreement(subnetwork, other, what)


def speed(dense: Sequence[float], own: Sequence[float]) -> str:
    """Say how many times as fast a network is as the dense one, by the seconds of runs that were taken in turns."""
    ratios = sorted(slow / fast for slow, fast in zip(dense, own, strict=True))
    ratio = median(dense) / median(own)
    return (
        f"onnxruntime, batches of {BATCH}: {ratio:.2f} times as fast as the dense network (ratio of the medians; "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} turns), {1000 * median(own):.2f} ms against "
        f"{1000 * median(dense):.2f} ms"
    )


def to_onnx(model: nn.Module, subnetwork: Subnetwork, file: Path) -> None:
    """Write ``model`` with inputs called images, of any number, and outputs called logits."""
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                model, (subnetwork.noise(8),), dynamo=True, input_names=["images"], output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False,
            )  # fmt: skip
        except Exception as error:  # as above
            raise UsageError(f"--format=onnx: {cannot_be_traced(model, error)}; valid: safetensors, torch") from error
    assert program is not None
    proto: Any = program.model_proto
    onnx.helper.set_model_props(proto, describe(subnetwork))
    onnx.save(proto, file)


def session(file: Path) -> Callable[[Tensor], Tensor]:
    """Return what runs a file by onnxruntime, on the CPU, with as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # The threads of a session go on spinning after a call, in the way of the session that is timed next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    loaded = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(loaded.run(None, {"images": images.numpy()})[0])


def in_turns(functions: Sequence[Callable[[Tensor], Tensor]], images: Tensor) -> list[list[float]]:
    """Return the seconds of each, which take turns; the first turn, which warms up, does not count."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(REPETITIONS + 1):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function(images)
            taken.append(time.perf_counter() - start)
    return [taken[1:] for taken in seconds]
