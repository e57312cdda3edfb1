"""Every example of docs/extending.md, run with the command below it."""

import re
import shlex
import sys
from pathlib import Path

import pytest

import adsynflow
from cli import main
from pruning import strategies

HOME = Path(__file__).parent.parent.parent
TEXT = (HOME / "docs" / "extending.md").read_text()
FILES = re.findall(r"```python\n# (\w+\.py)\n(.*?)```.*?\n    python main\.py (.*?)\n", TEXT, flags=re.DOTALL)
EXAMPLES = [example for example in FILES if not example[2].startswith("export ")]
SMALL = {"--dataset": "digits", "--model": "mnist_lenet_16", "--training_steps": "1ep", "--k": "0", "--threads": "1"}

SAID = {
    "flip_signs.py": "10% of the signs flipped in 1 runs", "without_training.py": "accuracy as it is",
    "announced.py": "to do: trunk", "by_message.py": "at 1ep0it: ",
}  # fmt: skip


def command(text: str, tmp_path: Path) -> list[str]:
    """The document's command, on small things where it does not say on what."""
    argv = shlex.split(text)
    given = {token.partition("=")[0] for token in argv}
    small = [f"{flag}={value}" for flag, value in SMALL.items() if flag not in given]
    if argv[0] == "train":
        small.remove("--k=0")
    if "--recipe" in given:
        small = ["--threads=1"]
    return [*argv, *small, f"--root={tmp_path / 'runs'}"]


def test_the_document_has_an_example_of_each_kind() -> None:
    assert [name for name, _, _ in EXAMPLES] == [
        "grad_norm.py", "swap.py", "tiny_net.py", "stripes.py", "short.py", "slow_biases.py", "share.py", "low_loss.py",
        "flip_signs.py", "without_training.py", "sign_agreement.py", "announced.py", "by_message.py",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "code", "text"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_an_example_runs(
    name: str, code: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"--plugin={name}" in text
    (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    assert main(command(text, tmp_path)) == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert "test accuracy" in out
    assert SAID.get(name, "") in err + out
    assert list((tmp_path / "runs").rglob("done.json"))


@pytest.mark.parametrize("line", """\
from pruning import ChangingMask, Mask, Strategy, check_strategy, prunable, strategies
from pruning.methods.random_erk import RandomERK
from models import models
from training.data import Dataset, datasets
from training.recipes import register
from training.optimizers import optimizers
from training.schedules import schedules
from training.loop import evaluate
from experiments.stable_k import AlongTrunk, Answer, Criterion, Seen, criteria
from experiments.report.branches import branch_reports
from experiments.engines import engines, in_process
from experiments.trackers import Tracker, trackers
from experiments.export import export_formats
from lottery.branch import Branch, branches
from foundations.hparams import hp
from foundations.steps import Step""".splitlines())
def test_lines_by_which_earlier_plug_ins_import_go_on_working(line: str) -> None:
    found: dict[str, object] = {}
    exec(line, found)
    for name in found.keys() - {"__builtins__"}:
        assert found[name] is getattr(adsynflow, {"register": "register_recipe"}.get(name, name), found[name])


def test_a_format_is_exported_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(name, code, text)] = [example for example in FILES if example not in EXAMPLES]
    (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    assert main(["lottery", *(f"{flag}={value}" for flag, value in SMALL.items()), "--pruning_strategy=random"]) == 0
    [run] = Path("runs").glob("lottery_*/replicate_1")
    assert main([str(run) if token.startswith("runs/") else token for token in text.split()]) == 0
    assert (tmp_path / "ticket/network.npz").is_file()
    assert "numpy.load" in (tmp_path / "ticket/README.md").read_text()


def test_the_strategy_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [check] = re.findall(
        r"```python\n(from adsynflow import check_strategy.*?check_strategy\(.*?)```", TEXT, flags=re.DOTALL
    )  # fmt: skip
    (tmp_path / "grad_norm.py").write_text({name: code for name, code, _ in EXAMPLES}["grad_norm.py"])
    monkeypatch.syspath_prepend(tmp_path)
    with strategies.temporarily(without="grad_norm"):
        exec(check, {})
    del sys.modules["grad_norm"]


def test_an_installed_package_needs_no_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "site"
    info = package / "my_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[adsynflow.plugins]\nhalf = my_package_half\nbroken = my_package_broken\n")
    (package / "my_package_half.py").write_text(
        "from pruning import strategies\nfrom pruning.methods.magnitude import Magnitude\n"
        "if 'half' not in strategies:\n"
        "    strategies.register('half')(type('Half', (Magnitude,), {'__doc__': 'Half.'}))\n"
    )
    (package / "my_package_broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(sys, "path", [str(package), *sys.path])
    flags = ["--pruning_strategy=half", "--dataset=digits", "--model=mnist_lenet_16", "--display_output_location"]
    assert main(["lottery", *flags, f"--root={tmp_path}"]) == 0
    out, err = capsys.readouterr()
    assert "lottery_" in out
    assert "broken (my_package_broken) failed: ModuleNotFoundError" in err
