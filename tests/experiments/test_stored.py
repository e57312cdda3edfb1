"""What lies in run directories."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from experiments.runs import stored
from experiments.runs.stored import StoredRun
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from lottery import LotteryDesc
from pruning import strategies
from stability import StabilityDesc
from tests.experiments.conftest import TINY
from training.hparams import TrainDesc
from training.loop import evaluate

FORMAT_2 = Path(__file__).parents[1] / "stored_runs" / "format_2"


def run_of(kind: str, root: Path) -> StoredRun:
    """The one run of a kind."""
    [run] = [run for run in stored.runs(root) if run.kind == kind]
    return run


def names(run: StoredRun) -> list[str]:
    return [part.name.partition("_44")[0] for part in run.parts]


# Done ----------------------------------------------------------------------------------------------------------------


def test_all_runs_are_listed_by_kind(root: Path) -> None:
    runs = stored.runs(root)
    assert [(run.kind, run.replicate, run.state, run.readable) for run in runs] == [
        ("lottery", 1, "done", True), ("stability", 1, "done", True), ("train", 1, "done", True),
    ]  # fmt: skip
    assert [run.path for run in Session(root, reporter=Reporter()).runs()] == [run.path for run in runs]
    assert [type(run.desc) for run in runs] == [LotteryDesc, StabilityDesc, TrainDesc]
    assert all(run.path.parent.name == run.desc.key for run in runs)


def test_a_root_without_runs_has_none(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "train_0123").mkdir()
    assert stored.runs(tmp_path) == stored.runs(tmp_path / "nowhere") == []


def test_the_parts_of_each_kind(root: Path) -> None:
    assert names(run_of("train", root)) == [""]
    assert names(run_of("lottery", root)) == ["level_1", "level_1/shuffle"]
    assert names(run_of("stability", root)) == ["k_1ep0it"]


def test_results_and_rows_are_what_the_markers_say(root: Path) -> None:
    train, lottery, stability = (run_of(kind, root) for kind in ("train", "lottery", "stability"))
    assert train.result["test_accuracy"] == json.loads((train.path / "done.json").read_text())["test_accuracy"]
    assert lottery.result["level_1"]["level"] == 1
    assert stability.result["k_1ep0it"]["strategy"] == "adsynflow"
    [row] = train.rows()
    assert (row["kind"], row["run"], row["replicate"], row["part"]) == (
        "train", f"{train.path.parent.name}/replicate_1", 1, "",
    )  # fmt: skip
    assert [row["part"].partition("_44")[0] for row in lottery.rows()] == ["level_1", "level_1/shuffle"]
    assert lottery.rows()[0]["test_accuracy"] == lottery.result["level_1"]["test_accuracy"]


def test_its_files_are_all_but_the_locks(root: Path) -> None:
    run = run_of("lottery", root)
    held = {path.relative_to(run.path).as_posix() for path in run.files}
    assert {"desc.json", "environment.json", "level_1/done.json", "level_1/mask.safetensors"} <= held
    assert not any(name.endswith(".lock") for name in held)


def test_a_ticket_is_a_network_and_its_mask(root: Path) -> None:
    run, session = run_of("lottery", root), Session(root, threads=1, reporter=Reporter())
    model, mask = run.ticket()
    assert not model.training
    weights = dict(model.named_parameters())
    assert all((weights[name].detach()[~kept] == 0).all() for name, kept in mask.items())
    found = evaluate(model, session.data(run.desc.train.data).evaluation_batches("test"))  # type: ignore[attr-defined]
    assert found["accuracy"] == run.result["level_1"]["test_accuracy"]
    [experiment] = session.lottery(**TINY, k=1)
    assert experiment.ticket()[1] == mask  # type: ignore[attr-defined]


def test_what_has_no_ticket_says_so(root: Path) -> None:
    with pytest.raises(UsageError, match="a train run has no tickets; those of lottery have"):
        run_of("train", root).ticket()
    with pytest.raises(UsageError, match="level 2 is not done"):
        run_of("lottery", root).ticket(2)


@pytest.mark.parametrize("path", ["train_1/replicate_1", "lottery_{}/replicate_x", "tickets_{}/replicate_1", ""])
def test_what_is_no_run_is_refused(path: str, root: Path) -> None:
    here = root / path.format(run_of("lottery", root).path.parent.name.partition("_")[2])
    with pytest.raises(UsageError, match="no run; expected <root>/<kind>_<hash>/replicate_<n> with kind import, "):
        stored.open(here)


# Not done ------------------------------------------------------------------------------------------------------------


def test_one_is_running_while_a_process_holds_a_lock_in_it(root: Path) -> None:
    run = run_of("lottery", root)
    with FileLock(run.path / "level_1" / ".lock"):
        assert (run.running, run.state) == (True, "running")
        assert run_of("train", root).state == "done"
    assert (run.running, run.state) == (False, "done")


def test_an_interrupted_one_says_where(root: Path) -> None:
    lottery, stability, train = (run_of(kind, root) for kind in ("lottery", "stability", "train"))
    (train.path / "done.json").unlink()
    (lottery.path / "level_1" / "done.json").unlink()
    rows = lottery.path / "level_1" / "metrics.jsonl"
    rows.write_text(rows.read_text().splitlines()[0] + "\n")
    (lottery.path / "level_1" / "checkpoint.safetensors").unlink()  # which was written later
    (stability.path / "k_1ep0it" / "instability.json").unlink()
    assert (train.state, lottery.state, stability.state) == (
        "trained to 2ep", "interrupted at 1ep", "interrupted at 2ep",
    )  # fmt: skip
    (train.path / "optimizer_2ep0it.safetensors").unlink()
    assert train.state == "interrupted at 2ep"
    assert [part.done for part in lottery.parts] == [False, True]
    assert (train.rows(), train.result) == ([], {})


def test_one_is_begun_before_its_first_step(root: Path) -> None:
    run = run_of("lottery", root)
    shutil.rmtree(run.path / "level_1")
    assert (run.parts, run.state, run.rows()) == ([], "begun", [])


def test_a_trunk_that_was_trained_only_to_k_is_not_done(tmp_path: Path) -> None:
    session = Session(tmp_path, threads=1, reporter=Reporter())
    session.train(**TINY, to=1).run()
    assert run_of("train", tmp_path).state == "trained to 1ep"


def test_what_is_put_aside_is_not_listed(root: Path) -> None:
    run, before = run_of("lottery", root), len(stored.runs(root))
    shutil.copytree(run.path, run.path.with_name("replicate_1.aside_1"))
    shutil.copytree(run.path / "level_1", run.path / "level_1.aside_1")
    [branch] = (run.path / "level_1").glob("shuffle_*")
    shutil.copytree(branch, branch.with_name(f"{branch.name}.aside_1"))
    assert len(stored.runs(root)) == before
    assert names(run) == ["level_1", "level_1/shuffle"]
    with pytest.raises(UsageError, match="no run"):
        stored.open(run.path.with_name("replicate_1.aside_1"))


# Plug-ins ------------------------------------------------------------------------------------------------------------

STRATEGY = """
from dataclasses import dataclass
from pruning import strategies
from pruning.methods.magnitude import Magnitude

@strategies.register("own_magnitude")
@dataclass(frozen=True, kw_only=True)
class OwnMagnitude(Magnitude):
    "Magnitude under another name."
    temper: float = 1.0
    "Does nothing."
"""


def test_without_its_plugin_it_can_be_read_but_for_its_descriptor(root: Path, tmp_path: Path) -> None:
    (tmp_path / "own_strategy.py").write_text(STRATEGY)
    with strategies.temporarily():
        session = Session(root, plugin=(str(tmp_path / "own_strategy.py"),), threads=1, reporter=Reporter())
        [ticket] = session.lottery(**TINY, k=1, pruning_strategy="own_magnitude").run()
        run = stored.open(ticket.store.path)
        assert run.readable
    sys.modules.pop("adsynflow_plugin_own_strategy")

    run = stored.open(run.path)
    assert (run.readable, run.state, names(run)) == (False, "done", ["level_1"])
    assert run.hyperparameters["strategy"] == {"kind": "own_magnitude", "temper": 1.0}
    assert run.rows()[0]["level"] == 1
    with pytest.raises(UsageError, match=r"desc\.json: --pruning_strategy=own_magnitude: .*\nIs a --plugin missing\?"):
        _ = run.desc
    assert run.ticket()[1].density == pytest.approx(0.1, abs=0.01)  # the network needs no strategy


# Runs of an older program --------------------------------------------------------------------------------------------


def test_runs_of_an_older_program_are_read(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_2, tmp_path / "runs")
    runs: list[Any] = stored.runs(tmp_path / "runs")
    assert [(run.kind, run.state) for run in runs] == [
        ("lottery", "interrupted at 1ep"), ("lottery", "done"), ("stability", "done"), ("stability", "done"),
        ("train", "done"),
    ]  # fmt: skip
    assert all(run.readable and run.path.parent.name == run.desc.key for run in runs)
    assert names(runs[1]) == ["level_0", "level_1", "level_1/shuffle", "level_1/stability"]
    assert [row["part"] for row in runs[2].rows()] == ["k_1ep0it"]
    assert runs[0].parts[0].reached == Step("1ep")
    _, mask = runs[1].ticket()
    assert mask.density == pytest.approx(runs[1].result["level_1"]["density"])
