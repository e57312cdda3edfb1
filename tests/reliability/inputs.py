"""Good, bad and absurd input, as hypothesis strategies: command lines, keywords, JSON values and bytes of files."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save

from cli.reading import CommandOptions
from experiments.define.defaults import all_flags
from experiments.define.grid import Grid
from experiments.session import Session
from foundations.hparams import as_text
from foundations.steps import Step

OF_A_PLUGIN = "mine"
"""What good.py registers in some of the cases."""
COMMANDS = ("train", "lottery", "lottery_branch", "stability")
BRANCHES = ("shuffle", "reinitialize", "stability", "nothing", "--")
NAMES = (
    "mnist_lenet_4", "mnist_lenet_0", "cifar_resnet_8_2", "cifar_resnet_9", "digits", "cifar10", "image_folder:mine",
    "image_folder:../x", "image_folder:", "synflow", "adsynflow", "sparse_global", "none", "snip", "open_lth", "auto",
    "cpu", "cuda:9", "meta", "local", "in_process", "true", "momentum", "sgd", "ones", "good.py", "ends.py", "empty.py",
    "gone.py", "os", "checkpoint.safetensors", "junk.pt", "layer", "end", "bf16",
)  # fmt: skip
"""Values that some flag takes, and near misses."""

numbers = st.one_of(
    st.integers(-3, 12), st.integers(), st.floats(), st.sampled_from([10**12, 2**63, 10**400, 1e308, 0.1, 0.5, 1.0])
)
words = st.one_of(
    st.sampled_from(NAMES), st.text(max_size=12), st.text(alphabet="0123456789epit,;-.=_ ", max_size=12),
    st.builds(lambda char, times: char * times, st.characters(), st.sampled_from([1, 300, 5000])),
)  # fmt: skip
steps = st.builds(
    lambda number, unit: f"{number}{unit}", st.integers(0, 30), st.sampled_from(["", "ep", "it", "ep1it"])
)
texts = st.one_of(
    words, steps, numbers.map(str),
    st.lists(st.one_of(words, steps, numbers.map(str)), max_size=3).flatmap(
        lambda parts: st.sampled_from([",", ";", "-"]).map(lambda mark: mark.join(parts))
    ),
)  # fmt: skip
"""What may stand behind ``--flag=``."""

Shaped = dict[str, tuple[Any, Any]]


def fitting(hint: Any, item: Any) -> "st.SearchStrategy[Any]":
    """Values that a field of this type may well take."""
    if item.metadata.get("choices"):
        return st.sampled_from(sorted(set(item.metadata["choices"]) - {OF_A_PLUGIN}))  # the same in every case
    default = [] if item.default in (MISSING, None) else [item.default]
    by_type = {bool: st.booleans(), int: st.integers(0, 4), float: st.sampled_from([0.0, 0.1, 0.5, 1.0]), Step: steps}
    return st.one_of(st.sampled_from(default or [1]), by_type.get(hint, st.sampled_from(NAMES)))


def known_flags() -> Shaped:
    """Every flag of every command."""
    return all_flags(CommandOptions)


@st.composite
def command_lines(draw: st.DrawFn, root: str) -> list[str]:
    """A command line that only says where its results would lie, or what would be done: nothing is trained."""
    command = draw(st.sampled_from(COMMANDS))
    argv = [command, draw(st.sampled_from(BRANCHES))] if command == "lottery_branch" else [command]
    argv += [f"--root={root}", "--data_dir=data", "--dataset=digits", "--model=mnist_lenet_4"]
    argv += [] if command == "train" else ["--k=1"]
    flags = known_flags()
    for name in draw(st.lists(st.sampled_from([*sorted(flags), "nothing", "help"]), max_size=4)):
        fits = name in flags and draw(st.integers(0, 3)) > 0
        value = draw(fitting(flags[name][1], flags[name][0]).map(as_text) if fits else texts)
        argv.append(draw(st.sampled_from([f"--{name}={value}", f"--{name}={value}", f"--{name}"])))
    argv += draw(st.sampled_from([[], [], [], ["x"], ["-k=3"], ["--"], ["--help"]]))
    return [*argv, draw(st.sampled_from(["--display_output_location", "--dry_run"]))]


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words, st.binary(max_size=4), st.just(...)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner), st.dictionaries(words, inner, max_size=2),
    ),
    max_leaves=4,
)  # fmt: skip
"""Python values of any kind."""


@st.composite
def keywords(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name of a method of ``Session``, its keywords, and the session's options."""
    flags, session = known_flags(), {"jobs", "threads", "device", "engine", "deterministic", "quiet", "plugin"}
    chosen = draw(st.lists(st.sampled_from([*sorted(flags), "nothing"]), max_size=4))
    values = {
        name: draw(st.one_of(fitting(flags[name][1], flags[name][0]), junk) if name in flags else junk)
        for name in chosen
    }
    options = {name: value for name, value in values.items() if name in session}
    given = {"dataset": "digits", "model": "mnist_lenet_4", "k": 1, **values}
    return draw(st.sampled_from(COMMANDS)), {n: v for n, v in given.items() if n not in session}, options


NOT_TRAINED_WITH = {
    "jobs", "at_once", "engine", "slurm", "detach", "plugin", "track", "device", "threads", "root", "data_dir",
    "training_steps", "batch_size", "subsample_fraction", "dataset",
}  # fmt: skip
"""Flags that say where something is computed, or how long that takes."""


@st.composite
def trainings(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The same, of what is trained in a fraction of a second where it is accepted."""
    flags, method = known_flags(), draw(st.sampled_from(COMMANDS))
    chosen = draw(st.lists(st.sampled_from(sorted(flags.keys() - NOT_TRAINED_WITH)), max_size=2, unique=True))
    values = {name: draw(fitting(flags[name][1], flags[name][0])) for name in chosen}
    given = {"k": "1it", "allow_collapse": True, "model": "mnist_lenet_4", **values, **SHORT}
    given = {**given, "alphas": 2} if method == "stability" else given
    return method, given, {"threads": 1, "quiet": True}


SHORT = {"dataset": "digits", "subsample_fraction": 0.05, "batch_size": 16, "training_steps": "3it"}


def define(root: str, case: tuple[str, dict[str, Any], dict[str, Any]]) -> Grid:
    """Does with keywords what a notebook does: defines, shows and plans experiments; computes none."""
    method, given, options = case
    session = Session(root=root, data_dir="data", **options)
    if method == "lottery_branch":
        given = {"branch": "shuffle", **given}
    elif method == "train":
        given = {name: value for name, value in given.items() if name not in ("k", "allow_collapse")}
    grid: Grid = getattr(session, method)(**given)
    repr(grid)
    for experiment in [] if grid.unanswered else grid:
        repr(experiment)
        experiment.places()
    return grid


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=5,
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """``value`` of JSON with one of its entries, at any depth, replaced, removed or added."""
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 5)) == 0:
        return draw(json_values)
    places = list(value) if isinstance(value, dict) else range(len(value))
    place = draw(st.sampled_from(list(places)))
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    way = draw(st.sampled_from(["deeper", "deeper", "remove", "add"]))
    if way == "remove":
        del copy[place]
    elif way == "deeper":
        copy[place] = draw(changed(value[place]))
    elif isinstance(copy, dict):
        copy[draw(words)] = draw(json_values)
    else:
        copy.append(draw(json_values))
    return copy


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` cut, emptied, with some bytes changed, or bytes of another kind altogether."""
    way = draw(st.sampled_from(["bytes", "cut", "changed", "changed", "blown up"]))
    if way == "bytes":
        return draw(st.binary(max_size=64))
    if way == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if way == "blown up":
        return content + draw(st.binary(min_size=1, max_size=64))
    array = bytearray(content)
    for place in draw(st.lists(st.integers(0, min(len(array), 400) - 1), min_size=1, max_size=4)):
        array[place] = draw(st.integers(0, 255))
    return bytes(array)


def safetensors_with_header(header: Any) -> bytes:
    """The bytes of a safetensors file whose header is any JSON."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(64)


@st.composite
def checkpoints(draw: st.DrawFn, network: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of a file of weights that may be whole, damaged, or of another network."""
    content = save(dict(network))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    kind: Callable[[], Any] = draw(st.sampled_from([
        lambda: damaged(content), lambda: changed(header).map(safetensors_with_header), lambda: st.just(content),
    ]))  # fmt: skip
    return draw(kind())
