"""Plug-ins that fail are named; the examples that work stand in docs/extending.md."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

HEAD = """
from dataclasses import dataclass
from pruning import strategies
from pruning.methods.magnitude import Magnitude
"""


def plugin(path: Path, name: str, field: str) -> Path:
    """A file with a strategy that has one field."""
    body = f'@strategies.register("{name}")\n@dataclass(frozen=True, kw_only=True)\nclass New(Magnitude):\n    "New."\n'
    path.write_text(f"{HEAD}{body}    {field}: float = 1.0\n    'Its field.'\n")
    return path


def strategy(field: str) -> str:
    """The text of a plug-in whose strategy has a field."""
    return (
        f'{HEAD}@strategies.register("new")\n'
        f"@dataclass(frozen=True, kw_only=True)\nclass New(Magnitude):\n    {field}\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_here\n", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("1 / 0\n", "(mine.py, line 1)"),
        ("def broken(:\n", "SyntaxError"),
        ("import sys; sys.exit(3)\n", "it called sys.exit(3)"),
        ("x = 1\n", "it registers nothing"),
        (strategy("power: float"), "its field 'power' has no default value"),
        (strategy("power: dict = None"), "its field 'power' is of type <class 'dict'>, which no flag has"),
    ],
)
def test_one_that_fails_to_import_is_named_with_its_error(
    text: str, message: str, tmp_path: Path, command: Callable[..., Any]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    outcome = command("train", f"--plugin={path}", "--display_output_location")
    assert outcome.code == 2
    assert f"--plugin={path}: " in outcome.err
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) <= 2


def test_a_file_that_is_not_there(tmp_path: Path, command: Callable[..., Any]) -> None:
    outcome = command("train", f"--plugin={tmp_path / 'gone.py'}", "--display_output_location")
    assert outcome.code == 2
    assert "no such file" in outcome.err


@pytest.mark.parametrize("field", ["lr", "pruning_fraction", "replicate", "alphas", "model"])
def test_a_field_with_the_name_of_a_flag_is_refused(field: str, tmp_path: Path, command: Callable[..., Any]) -> None:
    path = plugin(tmp_path / f"takes_{field}.py", f"takes_{field}", field)
    outcome = command("lottery", f"--plugin={path}", f"--pruning_strategy=takes_{field}", "--display_output_location")
    assert outcome.code == 2
    assert f"its field '{field}' is a flag of the framework" in outcome.err


def test_its_fields_are_flags_of_its_own_and_enter_the_key(tmp_path: Path, command: Callable[..., Any]) -> None:
    path = plugin(tmp_path / "with_temper.py", "with_temper", "temper")
    flags = ["lottery", f"--plugin={path}", "--pruning_strategy=with_temper", "--display_output_location"]
    one, other = command(*flags), command(*flags, "--temper=2")
    assert (one.code, other.code) == (0, 0)
    assert one.out != other.out
    assert "--temper" in command(*flags[:3], "--help").out
    elsewhere = command("lottery", "--pruning_strategy=snip", "--temper=2", "--display_output_location")
    assert "--temper belongs to --pruning_strategy=with_temper, which is not selected" in elsewhere.err


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "its function returned None, not an nn.Module; is a return missing?"),
        ("return nn.Linear(1, 2, 3, 4, 5, 6)", "its function failed for 1x8x8 with 10 classes: TypeError"),
        ("return nn.Linear(7, shape.classes)", "a training step failed: RuntimeError"),
        ("return nn.Flatten()", "it has no parameters to train"),
        ("return nn.Linear(8, 7)", "of a batch of 2 the network made a tensor of shape (2, 1, 8, 7), not one tensor"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_named(
    body: str, message: str, tmp_path: Path, command: Callable[..., Any]
) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\nfrom models.registry import models\n"
        f'@models.register("broken_net")\ndef broken_net(shape):\n    {body}\n'
    )
    flags = ["--model=broken_net", "--dataset=digits", f"--root={tmp_path / 'runs'}"]
    outcome = command("train", f"--plugin={path}", *flags)
    assert outcome.code == 2
    [refused] = outcome.err.strip().splitlines()
    assert refused.startswith("--model=broken_net: ")
    assert message in refused
    assert not (tmp_path / "runs").exists()


def test_a_network_with_trained_weights_keeps_them_unless_others_are_asked_for(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    path = tmp_path / "trained.py"
    path.write_text(
        "import torch\nfrom torch import nn\nfrom adsynflow import models\n\n\n"
        "@models.register('learned_here')\ndef learned(shape):\n"
        "    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 10))\n"
        "    for number, value in enumerate(model.state_dict().values()):\n"
        "        value.copy_(torch.arange(value.numel()).view(value.shape) + 1 + number)\n"
        "    return model\n"
    )
    flags = ["--model=learned_here", "--dataset=digits", "--training_steps=1it", f"--root={tmp_path}"]
    outcome = command("train", f"--plugin={path}", *flags)
    said = "learned_here comes with trained weights, the same under two seeds, in 2 layers: they "
    assert said + "are kept; --model_init draws others" in outcome.err
    [start] = tmp_path.glob("train_*/replicate_1/model_0ep0it.safetensors")
    weights = load_file(start)
    assert weights["1.weight"].tolist() == [3, 4]
    assert weights["3.weight"].flatten()[:2].tolist() == [8, 9]
    assert said + "give way to binary" in command("train", f"--plugin={path}", *flags, "--model_init=binary").err
