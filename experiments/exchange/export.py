"""A trained subnetwork as a directory of files, with a model card."""

import contextlib
import inspect
import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.runs import stored
from experiments.runs.directory import Part
from experiments.runs.stored import INITIALIZATION, StoredRun, fresh_network
from foundations import files
from foundations.errors import UsageError
from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from pruning import Mask
from pruning.compaction import compact
from training.imported import find_imported
from training.segments import load_network


@dataclass(frozen=True, eq=False)
class Subnetwork:
    """A network and its mask.

    Args:
        model: in evaluation mode, its weights masked; at its true size if it has been made compact.
        mask: of its weights, on the CPU.
        network: the entries of ``network.json``.
        run: the run that it comes from.
        part: the level, branch or training within it.
        is_compact: whether channels that cannot matter have been taken out.
    """

    model: nn.Module
    mask: Mask
    network: Mapping[str, Any]
    run: StoredRun
    part: Part
    is_compact: bool = False

    @property
    def input_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.network["input_shape"]
        return channels, height, width

    def compacted(self) -> "Subnetwork":
        """Return the same function without the channels that cannot matter, or itself where every channel matters.

        Raises like ``compact``.
        """
        small = compact(self.model, self.mask, example=self.noise(16))
        if not small.places:
            return self
        return replace(self, model=small.model.eval(), mask=small.mask, is_compact=True)

    def noise(self, count: int) -> Tensor:
        return torch.randn(count, *self.input_shape, generator=torch.Generator().manual_seed(0))

    def fresh(self, purpose: str) -> nn.Module:
        """Return the architecture at its full size, with random numbers drawn for ``purpose``."""
        return fresh_network(self.network, Seeds(self.run.replicate).generator(purpose)).eval()


def find_subnetwork(path: Path) -> Subnetwork:
    """Return what a run's directory, or that of a level or branch in it, has come to.

    Of a lottery run without a level it is the last level that is done.

    Raises:
        UsageError: no run, nothing in it is done, or a plug-in is not loaded.
    """
    run, part = find_part(path)
    if not run.store.has(files.NETWORK):
        raise UsageError(f"{run.store / files.NETWORK} is missing; the command that made the run writes it again")
    network = run.store.read_json(files.NETWORK)
    model = fresh_network(network, Seeds(run.replicate).generator("import" if run.kind == "import" else INITIALIZATION))
    result = part.result()
    weights = part.store / result.get("model", files.model(Step(result["step"])))  # a trunk's is named by its step
    load_network(Store(weights.parent), weights.name, model)
    mask = Mask.load(part.store / files.MASK) if part.store.has(files.MASK) else Mask.ones(model)
    mask.check(model)
    mask.apply_(model)
    return Subnetwork(model.eval(), mask, network, run, part)


def find_part(path: Path) -> tuple[StoredRun, Part]:
    """Return the run and the part of it that ``path`` names."""
    resolved = path.resolve()
    inside = [place for place in (resolved, *resolved.parents) if place.name.startswith(files.REPLICATE)]
    run = stored.open(inside[0] if inside else path)
    name = resolved.relative_to(run.path.resolve()).as_posix()
    done = {part.name: part for part in run.parts if part.done and part.marker == files.DONE}
    if name in done:
        return run, done[name]
    if name == "." and done:
        return run, [part for part in done.values() if "/" not in part.name][-1]
    raise UsageError(f"{path}: no trained network; valid: {', '.join(done) or 'none is done in this run'}")


def refuse_difference(what: str, expected: Tensor, found: Tensor, tolerance: float) -> float:
    """Return how far outputs are from those of the original on the same images, relative to the largest of them.

    Raises:
        UsageError: further than ``tolerance``.
    """
    scale = max(float(expected.detach().abs().max()), torch.finfo(expected.dtype).tiny)
    apart = float((found - expected).detach().abs().max()) / scale
    if not apart <= tolerance:
        raise UsageError(f"{what}: its outputs are {apart:.1e} of the largest from PyTorch's; expected {tolerance:g}")
    return apart


LICENCES: Mapping[str, str] = {
    "digits": "CC BY 4.0 (UCI Optical Recognition of Handwritten Digits, Alpaydin and Kaynak)",
    "mnist": "CC BY-SA 3.0 (LeCun, Cortes and Burges)",
    "fashion_mnist": "MIT (Zalando SE)",
}
"""Of the data sets that have one; CIFAR-10 and CIFAR-100 were published without."""


def model_card(subnetwork: Subnetwork, loading: str, found: Sequence[str]) -> str:
    """Return the model card as Markdown: what was written, how to load it, what was ``found`` while writing it."""
    run, part = subnetwork.run, subnetwork.part
    environment = run.store.read_json(files.ENVIRONMENT) if run.store.has(files.ENVIRONMENT) else {}
    where = f"{run.path.parent.name}/{run.path.name} {part.name}".rstrip()
    dataset = (run.hyperparameters.get("data") or run.hyperparameters["train"]["data"])["dataset"]
    sections = {
        "The network": "\n".join(f"- {name}: {value}" for name, value in about(subnetwork).items()),
        "How it came about": f"{made_by(environment)}\n\n{where}",
        **({"Where its weights come from": theirs} if (theirs := provenance(subnetwork)) else {}),
        "Loading it": inspect.cleandoc(loading),
        "Input": normalization(subnetwork.network, dataset),
        "Data": f"{dataset}; licence: {LICENCES.get(dataset, 'see where it was published')}",
        **({"Checked": "\n".join(f"- {line}" for line in found)} if found else {}),
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items())
    density = part.result().get("density", 1.0)  # of the full network, even where the mask is a compact one's
    return f"# {subnetwork.network['model']['model']} at {density:.2%} of its weights\n\n{text}\n"


def made_by(environment: Mapping[str, Any]) -> str:
    """Return the call that has begun the run, as a block of code: of the Python API as it was, else a command line."""
    command = environment.get("command") or ["an unknown command"]
    if len(command) == 1:
        return f"```python\n{command[0]}\n```"
    return f"```sh\npython main.py {shlex.join(command)}\n```"


def provenance(subnetwork: Subnetwork) -> str:
    """Return which files of others the training began with, and how they were imported; empty without any."""
    run = subnetwork.run
    key = run.hyperparameters.get("train", {}).get("imported") or (run.path.parent.name if run.kind == "import" else "")
    if not key:
        return ""
    store = find_imported(run.path.parent.parent, key).store
    result = store.result()
    sums = result.get("imported_sha256", {})
    read = [f"- `{name}`" + (f", sha256 {sums[name]}" if name in sums else "") for name in result["imported_from"]]
    lines = "\n".join(read)
    return f"Files of others, taken in as {key}:\n\n{lines}\n\n{made_by(store.read_json(files.ENVIRONMENT))}"


def about(subnetwork: Subnetwork) -> dict[str, Any]:
    result = subnetwork.part.result()
    strategy, sources = subnetwork.run.hyperparameters.get("strategy") or {}, result.get("imported_from")
    return {
        "architecture": subnetwork.network["model"]["model"],
        "pruned by": strategy.get("kind", "nothing" if sources is None else f"others: {', '.join(sources)}, imported"),
        "at step k": subnetwork.run.hyperparameters.get("k", "none"),
        "test accuracy": f"{result['test_accuracy']:.2%}",
        "replicate": subnetwork.run.replicate,
        "size": "compact: channels that cannot matter are taken out" if subnetwork.is_compact else "full, masked",
    }


def normalization(network: Mapping[str, Any], dataset: str) -> str:
    """Say what to do with an image before the network sees it."""
    if dataset.startswith("arrays:"):
        return (
            f"Features of {' x '.join(map(str, network['input_shape']))} (channels, height, width), as they are in the "
            "data. `network.json` has the names of the classes."
        )
    mean, std = ([round(value, 6) for value in network["normalization"][name]] for name in ("mean", "std"))
    return (
        f"Images of {' x '.join(map(str, network['input_shape']))} (channels, height, width), pixels in [0, 1], then "
        f"(pixel - mean) / std by channel: mean {mean}, std {std}. `network.json` has the exact values and the names "
        "of the classes."
    )


Write = Callable[[Subnetwork, Path], list[str]]
"""Writes a subnetwork's files into a directory; what it found out is returned, a line each, for the model card."""

export_formats: Registry[Write] = Registry("format", flag="format")
"""Ways to write a subnetwork. A function's docstring is the part of the model card that says how to load it."""

CARD, NETWORK = "README.md", "network.json"


def export(subnetwork: Subnetwork, format: str, output: Path, reporter: Reporter) -> None:
    """Write ``output``, a new directory: the network in a format, ``network.json`` and a model card.

    Raises:
        UsageError: unknown format, or ``output`` exists.
    """
    write = export_formats.get(format)
    with new_directory(output) as folder:
        found = write(subnetwork, folder)
        about = {**subnetwork.network, "compact": subnetwork.is_compact}
        Store(folder).write_bytes(NETWORK, (json.dumps(about, indent=2) + "\n").encode())
        Store(folder).write_bytes(CARD, model_card(subnetwork, write.__doc__ or "", found).encode())
    for line in [*found, f"Written to {output}"]:
        reporter.say(line)


@contextlib.contextmanager
def new_directory(output: Path) -> Iterator[Path]:
    """Yield a directory beside ``output`` that takes its name when all is written, or is gone."""
    if output.exists():
        raise UsageError(f"--output={output}: exists already; name a directory that does not")
    temporary = output.with_name(f".{output.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
