"""Flags from a file: the command line goes before it, it goes before defaults; a run's desc.json gives its key."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.command_line import read_command
from foundations.steps import Step
from tests.cli.test_pinned_keys import KEYS

Command = Callable[..., Any]
STORED = Path(__file__).parents[1] / "stored_runs" / "format_2"


def keys_of(*argv: str) -> tuple[str, str]:
    line = read_command(argv[0], argv[1:])
    assert line is not None
    desc: Any = line.grid()[0].desc
    return getattr(desc, "train", desc).key, desc.key


def write(path: Path, text: str) -> str:
    path.write_text(text, errors="surrogateescape")
    return f"--config={path}"


def test_the_command_line_goes_before_the_file_and_a_table_before_the_rest(tmp_path: Path) -> None:
    config = write(
        tmp_path / "mine.toml",
        'dataset = "digits"\nlr = [0.05, 0.1]\nlevels = [0, 1]\nmilestone_steps = [["2ep"], ["1ep", "3ep"]]\n'
        'quiet = true\nk = 3\nreplicate = "1-3"\n[lottery]\nk = "2ep"\n[train]\nk = "never"\n',
    )
    line = read_command("lottery", [config, "--lr=0.2"])
    assert line is not None
    assert line.session == {"quiet": True}
    assert line.flags == {
        "dataset": "digits", "lr": 0.2, "levels": (0, 1), "k": Step("2ep"), "replicate": [1, 2, 3],
        "milestone_steps": [(Step("2ep"),), (Step("1ep"), Step("3ep"))],
    }  # fmt: skip


@pytest.mark.parametrize("flags", KEYS)
def test_a_descriptor_gives_the_key_of_its_run(flags: str, tmp_path: Path) -> None:
    line = read_command("lottery", flags.split())
    assert line is not None
    desc: Any = line.grid()[0].desc
    path = tmp_path / "desc.json"
    path.write_text(json.dumps({"kind": "lottery", **desc.to_dict()}))
    assert keys_of("lottery", f"--config={path}") == KEYS[flags]
    assert keys_of("train", f"--config={path}")[0] == KEYS[flags][0]


@pytest.mark.parametrize("path", sorted(STORED.glob("*_*/replicate_1/desc.json")), ids=lambda path: path.parts[-3])
def test_descriptors_of_an_older_format_give_the_keys_of_their_runs(path: Path) -> None:
    key = path.parts[-3]
    assert (
        keys_of(key.partition("_")[0], f"--config={path}", "--k=1" if key.startswith("stab") else "--quiet")[1] == key
    )


def test_somebody_elses_experiment_is_run_again_from_its_file(command: Command, tmp_path: Path) -> None:
    (path,) = STORED.glob("train_*/replicate_1/desc.json")
    shutil.copy(path, tmp_path / "theirs.json")
    root = tmp_path / "runs"
    assert command("train", f"--config={tmp_path / 'theirs.json'}", f"--root={root}", "--threads=1").code == 0
    assert [run.name for run in root.iterdir()] == [path.parts[-3]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "lr = ", "a.toml: "),
        ("a.toml", "learning_rate = 1", "learning_rate: unknown flag"),
        ("a.toml", "lr = 'fast'", "--lr=fast: expected a number"),
        ("a.toml", "lr = 2020-01-01", "lr: expected a text, a number"),
        ("a.toml", "plugin = ['gone.py']", "--plugin=gone.py: no such file"),
        ("a.toml", "help = true", "help: unknown flag"),
        ("a.toml", "[training]\nlr = 0.3", "[training]: no command (did you mean 'train'?)"),
        ("a.toml", "[list]\nlr = 0.3", "[list]: no command"),
        ("a.toml", f"lr = {'[' * 100_000}", "nested too deeply"),
        ("a.toml", "milestone_steps = [[[1]]]", "milestone_steps: expected a text, a number"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.toml", "lr = '\udcff'", "it is not text in UTF-8"),
        ("a.json", "[]", "no JSON object"),
        ("a.json", "{}", 'expected a "kind", one of'),
        ("a.json", '{"kind": ["train"]}', 'expected a "kind", one of'),
        ("a.json", '{"kind": "train", "model": 3}', "a.json: "),
    ],
)
def test_what_a_file_may_not_say(name: str, text: str, message: str, command: Command, tmp_path: Path) -> None:
    outcome = command("train", write(tmp_path / name, text), f"--root={tmp_path / 'runs'}", "--dataset=digits")
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there(command: Command, tmp_path: Path) -> None:
    assert "No such file" in command("train", f"--config={tmp_path / 'gone.toml'}").err


def test_pipes_and_devices_are_not_read(command: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for argv in (["train", f"--config={path}"], ["import", str(path)], ["task", str(path)]):
            outcome = command(*argv)
            assert outcome.code == 2
            assert "not a regular file" in outcome.err
