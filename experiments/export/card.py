"""The model card that goes with an exported network: what it is, how it came about, how to use it."""

import inspect
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.export.subnetwork import Subnetwork
from foundations import files

LICENCES: Mapping[str, str] = {
    "digits": "CC BY 4.0 (UCI Optical Recognition of Handwritten Digits, Alpaydin and Kaynak)",
    "mnist": "CC BY-SA 3.0 (LeCun, Cortes and Burges)",
    "fashion_mnist": "MIT (Zalando SE)",
}
"""Of the data sets that have one; CIFAR-10 and CIFAR-100 were published without."""


def model_card(subnetwork: Subnetwork, loading: str, found: Sequence[str]) -> str:
    """Markdown.

    Args:
        subnetwork: what was written.
        loading: how to load it.
        found: what was found out while writing it.
    """
    run, part = subnetwork.run, subnetwork.part
    environment = run.store.read_json(files.ENVIRONMENT) if run.store.has(files.ENVIRONMENT) else {}
    where = f"{run.path.parent.name}/{run.path.name} {part.name}".rstrip()
    data = find(run.hyperparameters, "data")
    sections = {
        "The network": listing(about(subnetwork)),
        "How it came about": f"    {made_by(environment)}\n\n{where}",
        "Loading it": inspect.cleandoc(loading),
        "Input": normalization(subnetwork.network, data["dataset"]),
        "Data": f"{data['dataset']}; licence: {LICENCES.get(data['dataset'], 'see where it was published')}",
        **({"Checked": "\n".join(f"- {line}" for line in found)} if found else {}),
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items())
    density = part.result().get("density", 1.0)  # of the full network, even where the mask is a compact one's
    return f"# {subnetwork.network['model']['model']} at {density:.2%} of its weights\n\n{text}\n"


def made_by(environment: Mapping[str, Any]) -> str:
    """The call that has begun the run: of the Python API as it was, else a command line."""
    command = environment.get("command") or ["an unknown command"]
    return command[0] if len(command) == 1 else f"python main.py {shlex.join(command)}"


def about(subnetwork: Subnetwork) -> dict[str, Any]:
    """What is worth knowing at a glance."""
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
    """What to do with an image before the network sees it."""
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


def find(entries: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The entry called ``name``, here or one level down."""
    found: Mapping[str, Any] = entries.get(name) or entries.get("train", {}).get(name) or {}
    return found


def listing(entries: Mapping[str, Any]) -> str:
    """A line each."""
    return "\n".join(f"- {name}: {value}" for name, value in entries.items())
