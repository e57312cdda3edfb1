"""Every example of docs/python.md that needs no other package, run; each in a directory of its own."""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from adsynflow import Grid, Mask, open_run
from cli import main
from experiments.define.lottery import Lottery

HOME = Path(__file__).parent.parent.parent
TEXT = (HOME / "docs" / "python.md").read_text()
OTHERS = TEXT.partition("## In the loops of others")[2].partition("\n## ")[0]  # tests/integrations runs these
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT.replace(OTHERS, ""), flags=re.DOTALL)

Run = Callable[[str], dict[str, Any]]


def example(words: str) -> str:
    """The one example in which ``words`` stand."""
    [found] = [code for code in EXAMPLES if words in code]
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run(words)`` runs the example in which they stand; its variables."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)

    def run(words: str) -> dict[str, Any]:
        variables: dict[str, Any] = {"__name__": "example"}
        exec(compile(example(words), "docs/python.md", "exec"), variables)
        return variables

    return run


def plain(value: object) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def test_a_lottery_over_lists(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("range(1, 4)")
    rows, mask = found["rows"], found["mask"]
    assert [(row["strategy"], row["replicate"], row["level"]) for row in rows] == [
        (strategy, replicate, level)
        for strategy in ("synflow", "adsynflow") for replicate in (1, 2, 3) for level in (0, 1)
    ]  # fmt: skip
    assert all(plain(value) for row in rows for value in row.values())
    assert isinstance(mask, Mask)
    assert not any(weight[~mask[name]].any() for name, weight in found["model"].named_parameters() if name in mask)
    said = [line.partition("# ")[2] for line in example("range(1, 4)").splitlines() if line.startswith("print")]
    assert capsys.readouterr().out.splitlines() == said
    assert [one.replicate for one in found["tickets"][1:3]] == [2, 3]


def test_rows_make_a_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = MagicMock()  # the user's own: what matters here is what it gets
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    run("import pandas")
    [rows] = pandas.DataFrame.call_args.args
    assert [(row["lr"], row["replicate"]) for row in rows] == [(0.05, 1), (0.05, 2), (0.1, 1), (0.1, 2)]
    assert len({tuple(row) for row in rows}) == 1, "the same columns in every row"
    assert all(plain(value) for row in rows for value in row.values())


def test_numbers_of_what_was_trained(run: Run) -> None:
    row = run("signs.changed")["row"]
    assert 0 < row["signs.changed"] < 1
    assert row["overlap.chance"] < row["overlap.snip"]
    assert all(plain(value) for value in row.values())


def test_the_other_commands(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("lottery_branch")
    [row] = found["shuffled"].rows()
    assert row["branch"] == "shuffle"
    assert row["level_accuracy"] > 0.5
    assert [(row["strategy"], row["k"]) for row in found["curve"].rows()] == [
        ("none", "0ep"), ("none", "1ep"), ("adsynflow", "0ep"), ("adsynflow", "1ep"),
    ]  # fmt: skip
    assert all(plain(value) for row in found["curve"].rows() for value in row.values())
    assert "<Grid of 1 lottery experiment, k to be found for 1>" in capsys.readouterr().out
    [search] = found["found"].searches
    assert [row["k"] for row in found["found"].rows()] == [search.answer.k.short] * search.found


def test_what_is_refused_and_what_fails(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("pruning_stategy")
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("--pruning_stategy: unknown flag (did you mean '--pruning_strategy'")
    assert "level" in out[1]
    assert out[-1] == "[True, False]"
    assert found["tickets"].plan().tasks, "the same call does what is missing"
    assert "Failed" in example("pruning_stategy")


def test_tasks_go_elsewhere(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    tickets: Grid = run("task_line")["tickets"]
    assert not tickets.done
    [command] = re.findall(r"    python main\.py (task .*)\n", TEXT)
    assert main(command.split()) == 0, capsys.readouterr().err
    assert tickets.done


def test_stored_runs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("open_run")
    assert found["run"].kind == "lottery"
    assert isinstance(found["mask"], Mask)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["lottery", "train"]
    assert lines[0].startswith("lottery done {'level_1': {")


def test_somebody_elses_network(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("import_network")
    _, theirs = found["theirs"].ticket(1)
    _, again = found["again"][0].ticket(1)
    assert again == theirs
    assert "'strategy': 'imported'" in capsys.readouterr().out


def test_adsynflow_in_plain_pytorch(run: Run) -> None:
    found = run("torch.optim.SGD")
    network, mask = found["network"], found["mask"]
    assert mask.kept == round(0.1 * mask.total)
    for name, weight in network.named_parameters():
        if name in mask:
            assert not weight[~mask[name]].any()
    right = network(found["images"]).argmax(1) == found["labels"]
    assert right.float().mean() > 0.8


def test_train_goes_on_from_any_step(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    state = run("state.prune(")["state"]
    assert state.iteration == 4 * 23
    assert state.mask.kept == round(0.2 * state.mask.total)
    assert re.fullmatch(r"\{'loss': 0\.\d+, 'accuracy': 0\.[89]\d+\}\n", capsys.readouterr().out)


def test_a_barrier_between_two_children(run: Run) -> None:
    found = run("walk(Line(")
    errors = found["errors"]
    assert len(errors) == 5
    assert max(errors) < 0.3, "both have learned"
    assert not torch.equal(found["child"](1)["1.weight"], found["child"](2)["1.weight"])


def test_a_method_typed_at_a_prompt(tmp_path: Path) -> None:
    """In a process of its own, since there ``__main__`` has no file; the cell is run twice."""
    code = example("MyMethod") * 2
    environment = {"PYTHONPATH": str(HOME), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    rows = [eval(line) for line in done.stdout.splitlines()]
    assert [row["strategy"] for row in rows[0]] == ["my_method", "magnitude"]
    assert rows[0] == rows[1]
    assert "Nothing was trained" in done.stderr
    mine = tmp_path / Path(rows[0][0]["path"]).parent
    recorded = json.loads((mine / "environment.json").read_text())["plugins"]
    assert recorded == {"__main__.MyMethod": {"file": None, "sha256": None, "commit": None}}
    stored = open_run(mine)
    assert not stored.readable, "here nothing of that name is registered"
    assert stored.hyperparameters["strategy"] == {"kind": "my_method", "power": 2.0}


def test_no_example_is_left_out() -> None:
    words = [text for name, text in re.findall(r"(run|example)\(\"(.*?)\"\)", Path(__file__).read_text())]
    assert {example(text) for text in words} == set(EXAMPLES)


def test_the_first_example_of_the_readme_ends_masked() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    loader = list(zip(torch.rand(64, 1, 8, 8).split(16), torch.randint(2, (64,)).split(16), strict=True))
    found = run_readme("from adsynflow import prune", network=network, loader=loader, epochs=5, k=3)
    assert found["mask"].kept == round(0.1 * found["mask"].total)
    assert not any(network.get_parameter(name)[~entry].any() for name, entry in found["mask"].items())


def test_the_session_of_the_readme_says_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes minutes, so here it is defined and not run."""
    grids: list[Grid] = []
    monkeypatch.setattr(Grid, "run", lambda grid: grids.append(grid))
    monkeypatch.setattr(Lottery, "ticket", lambda self, level: (None, None))
    monkeypatch.chdir(tmp_path)
    run_readme("from adsynflow import Session")
    assert [len(grid) for grid in grids] == [6, 6]


def run_readme(beginning: str, **variables: Any) -> dict[str, Any]:
    """Run the one example of the README that begins so."""
    [code] = re.findall(rf"\n(    {beginning}\n.*?)\n\n\S", (HOME / "README.md").read_text(), flags=re.DOTALL)
    exec(textwrap.dedent(code), variables)
    return variables
