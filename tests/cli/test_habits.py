"""What people expect of any program: its version, completions, lists of what there is, its own name, no colours."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import cli
from cli import main
from cli.commands.completion import SHELLS
from experiments.run.progress import RichReporter
from tests.cli.test_terminal import Terminal

Command = Callable[..., Any]
HOME = Path(__file__).parents[2]


def test_the_version(command: Command) -> None:
    outcome = command("--version")
    assert outcome.code == 0
    assert outcome.out.startswith("adsynflow 1.")
    assert "torch 2." in outcome.out


def test_the_version_comes_without_torch() -> None:
    code = "import sys; from cli import main; main(['--version']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(cli.__file__).parents[1]).returncode == 0


@pytest.mark.parametrize(
    ("started", "name"),
    [("/usr/bin/adsynflow", "adsynflow"), ("adsynflow.exe", "adsynflow"), ("main.py", "python main.py")],
)
def test_usage_says_how_the_program_was_started(
    started: str, name: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert f"usage: {name} <command>" in command("--help").out
    assert f"usage: {name} lottery --flag=value" in command("lottery", "--help").out
    assert f"usage: {name} lottery_branch <branch>" in command("lottery_branch").out
    assert f"usage: {name} task FILE" in command("task", "--help").out


def test_what_there_is_is_listed_a_line_each_with_what_a_plugin_brings(command: Command, tmp_path: Path) -> None:
    plugin = tmp_path / "listed.py"
    plugin.write_text(
        "from models.registry import models\n@models.register('listed_net')\ndef listed_net(shape):\n    'A net.'\n"
    )
    out = command("available", f"--plugin={plugin}").out
    for line in ("--pruning_strategy:", "  snip ", "  digits ", "  cifar_resnet/cifar10/thesis ", "  shuffle "):
        assert f"\n{line}" in f"\n{out}"
    assert re.search(r"^  listed_net +A net\.$", out, re.MULTILINE)
    models = command("available", "models").out
    assert "mnist_lenet" in models
    assert "snip" not in models
    refused = command("available", "model")
    assert refused.code == 2
    assert "did you mean 'models'" in refused.err


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_know_commands_flags_and_values(shell: str, command: Command) -> None:
    pytest.importorskip("shtab")
    script = command("completion", shell).out
    for word in ("lottery_branch", "--pruning_strategy", "synflow", "--synflow_input", "randomly_reinitialize"):
        assert word in script


def test_completion_of_an_unknown_shell_is_refused(command: Command) -> None:
    assert command("completion", "fish").err == "completion: expected a shell, one of bash, zsh, tcsh\n"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stderr", coloured)
    RichReporter().warn("look")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", plain)
    RichReporter().warn("look")
    assert "\x1b[33m" in coloured.getvalue()
    assert plain.getvalue() == "look\n"


@pytest.mark.parametrize("redirections", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_defect(redirections: str, tmp_path: Path) -> None:
    """As cron and daemons close them; no file of a run may get their number, into which something could be printed."""
    flags = f"train --dataset=digits --model=mnist_lenet_4 --training_steps=1it --threads=1 --root={tmp_path / 'runs'}"
    done = subprocess.run(f"{sys.executable} main.py {flags} {redirections}", shell=True, cwd=HOME, capture_output=True)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert main(["verify", f"--root={tmp_path / 'runs'}"]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_named(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "main.py", "--help"], cwd=HOME, stdout=full, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "Standard output: No space left on device"


@pytest.mark.parametrize(
    "error", [MemoryError(), ImportError("libtorch_cpu.so: failed to map segment from shared object")]
)
def test_too_little_memory_for_imports_is_a_line(
    error: Exception, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importlib.import_module", mock.Mock(side_effect=error))
    outcome = command("train")
    assert outcome.code == 1
    assert outcome.err == "There is not enough memory. The same command goes on from the last checkpoint.\n"
