"""--measure: numbers of what was trained, also long ago; and what becomes of measurements that fail or change."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.running import print_measured
from experiments.measurements import measurements
from experiments.report.tables import Table
from experiments.runs.directory import RunDirectory
from experiments.runs.rows import result_rows
from experiments.session import Session
from foundations.store import Store

Command = Callable[..., Any]

MEASUREMENT = """
from dataclasses import dataclass
from adsynflow import Measurement, measurements

@measurements.register("largest_weight")
@dataclass(frozen=True, kw_only=True)
class LargestWeight(Measurement):
    "The largest weight."

    largest_of: str = "end"
    "start or end."

    def measure(self, finished):
        return {returned}
"""
FINE = '{"weight": max(one.abs().max() for one in getattr(finished, self.largest_of).parameters())}'


@pytest.fixture
def measure(command: Command, finished: Any, small: tuple[str, ...], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``measure("returned", ...)`` measures the finished run as a new process would, with this in the plug-in."""
    path = tmp_path / "largest.py"

    def forget() -> None:
        sys.modules.pop("adsynflow_plugin_largest", None)

    def run(returned: str, *more: str) -> Any:
        path.write_text(MEASUREMENT.replace("{returned}", returned))
        forget()
        flags = [f"--plugin={path}", "--measure=largest_weight", *small, "--k=1", "--levels=0-1", *finished.flags]
        with measurements.temporarily():
            return command("lottery", *flags, *more)

    yield run
    forget()


def test_what_is_done_is_measured_without_a_step(
    command: Command, finished: Any, small: tuple[str, ...], steps_taken: list[int]
) -> None:
    before = finished.files()
    flags = ("lottery", *small, "--k=1", "--levels=0-1", *finished.flags, "--measure=signs,distance,after_pruning")
    assert command(*flags).code == 0
    assert not steps_taken
    now = finished.files()
    assert all(now[name] == content for name, content in before.items() if not name.startswith("train_"))
    assert sorted(Path(name).name for name in now.keys() - before.keys() if not Path(name).name.startswith(".")) == [
        "measurements.json", "measurements.json",
    ]  # fmt: skip
    [level] = [row for row in rows(command, finished) if row["part"] == "level_1"]
    assert 0 < level["signs.changed"] < 1
    assert level["distance.l2"] ** 2 == pytest.approx(
        sum(value**2 for name, value in level.items() if name.startswith("distance.l2."))
    )
    assert 0 < level["after_pruning.accuracy"] < level["accuracy"]
    assert command("verify", f"--root={finished.root}").code == 0
    stamp = {name: entry for name, entry in finished.files().items() if "measurements" in name}
    assert command(*flags).code == 0
    assert {name: entry for name, entry in finished.files().items() if "measurements" in name} == stamp


def rows(command: Command, place: Any, *flags: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command("list", "--json", f"--root={place.root}", *flags).out)
    return found


def test_its_numbers_are_columns(measure: Callable[..., Any], command: Command, finished: Any) -> None:
    assert measure(FINE).code == 0
    [row] = rows(command, finished, "--where=largest_weight.weight>0.01", "--where=level=1")
    assert "largest_weight.weight" in command("list", "--csv", f"--root={finished.root}").out.splitlines()[0]
    stored = Store(finished.one("lottery_*/replicate_1/level_1")).read_json("measurements.json")
    assert stored["measured"]["largest_weight"]["numbers"] == {"weight": row["largest_weight.weight"]}


def test_other_source_or_other_fields_are_measured_again_and_that_is_said(
    measure: Callable[..., Any], command: Command, finished: Any
) -> None:
    first = measure(FINE)
    assert "measured again" not in first.err
    assert "measured again" not in measure(FINE).err
    assert "largest_weight is measured again (fields changed)" in measure(FINE, "--largest_of=start").err
    assert "largest_weight is measured again (source and fields changed)" in measure('{"weight": 8.0}').err
    assert "largest_weight is measured again (source changed)" in measure('{"weight": 7.0}').err
    assert {row["largest_weight.weight"] for row in rows(command, finished) if row["level"] is not None} == {7.0}


@pytest.mark.parametrize(("returned", "said"), [
    ("1 / 0", "--measure=largest_weight: ZeroDivisionError: division by zero (largest.py, line"),
    ('{"weight": "large"}', "returned weight=large, a str, no number"),
    ("3.0", "measure() returned 3.0; expected numbers by name"),
    ("{}", "measure() returned {}; expected numbers by name"),
    ('{"weight": finished.start.state_dict()["fc.bias"]}', "a Tensor, no number"),
])  # fmt: skip
def test_one_that_fails_is_one_line_and_nothing_is_lost(
    measure: Callable[..., Any], finished: Any, returned: str, said: str
) -> None:
    outcome = measure(returned)
    assert outcome.code == 2
    assert {said in line for line in outcome.err.splitlines() if "--measure" in line} == {True}
    assert "Traceback" not in outcome.err
    assert "test accuracy" in outcome.out, "the table of what was trained"
    assert not list(finished.root.rglob("measurements.json"))


def test_what_is_not_finite_is_left_empty_with_a_warning(
    measure: Callable[..., Any], command: Command, finished: Any
) -> None:
    outcome = measure('{"weight": float("nan"), "bias": 1}')
    assert outcome.code == 0
    assert "--measure=largest_weight: weight is not finite" in outcome.err
    [row] = [row for row in rows(command, finished) if row["part"] == "level_1"]
    assert (row["largest_weight.weight"], row["largest_weight.bias"]) == (None, 1)


def test_the_training_that_comes_first_is_kept_when_its_measurement_fails(
    measure: Callable[..., Any], finished: Any, steps_taken: list[int]
) -> None:
    assert measure("1 / 0", "--replicate=2").code == 2
    assert steps_taken
    taken = len(steps_taken)
    assert measure(FINE, "--replicate=2").code == 0
    assert len(steps_taken) == taken


@pytest.mark.parametrize(("flags", "said"), [
    ("lottery --measure=sings", "--measure=sings: unknown measurement (did you mean 'signs'"),
    ("lottery --measure=cka", "--measure=cka: compares children, which only stability trains"),
    ("lottery_branch shuffle --measure=cka", "--measure=cka: compares children"),
    ("train --measure=signs --to=1ep", "--measure: looks at the end of training; leave out --to=1ep"),
    ("stability --measure=signs --child=1", "--measure: looks at all children; leave out --child=1"),
    ("lottery --overlap_scores=snip", "--overlap_scores belongs to --measure=overlap, which is not selected"),
    ("lottery --measure=overlap", "--measure=overlap: with what? Give --overlap_with=RUN/LEVEL"),
    ("lottery --measure=overlap --overlap_scores=snap", "--overlap_scores=snap: expected one of"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_computed(
    command: Command, place: Any, small: tuple[str, ...], flags: str, said: str
) -> None:
    k = () if flags.startswith("train") else ("--k=1",)
    outcome = command(*flags.split(), *small, *k, *place.flags)
    assert outcome.code == 2
    assert outcome.err.startswith(said)
    assert place.untouched


def test_without_curvlinops_a_line_says_what_to_install(
    command: Command, place: Any, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "curvlinops", None)
    outcome = command("train", "--measure=hessian", *small, *place.flags)
    assert outcome.err == "--measure=hessian: needs the package curvlinops: pip install 'adsynflow[curvature]'\n"


def test_children_are_measured_together_and_one_by_one(command: Command, place: Any, small: tuple[str, ...]) -> None:
    measure = "--measure=signs,cka,disagreement,class_barriers"
    flags = ("stability", *small, "--k=1", "--alphas=2", *place.flags, measure)
    assert command(*flags).code == 0
    [first] = [row for row in rows(command, place) if row["kind"] == "stability"]
    assert 0 < first["cka.mean"] < 1
    verdict = Store(place.one("stability_*/replicate_1/k_*")).read_json("instability.json")
    assert first["disagreement.share"] == verdict["pairs"][0]["disagreement"]
    assert first["signs.changed"] > 0
    outcome = command(*flags, "--children=3")
    assert "cka is measured again (children changed)" in outcome.err
    [now] = [row for row in rows(command, place) if row["kind"] == "stability"]
    assert now["cka.mean"] != first["cka.mean"]


def test_where_a_network_starts_depends_on_how_it_is_retrained(
    command: Command, place: Any, small: tuple[str, ...]
) -> None:
    """Finetuned: from the pruned network of the end, so that few weights move far; the full network from k."""
    flags = ("lottery", *small, "--k=1", "--pruning_strategy=sparse_global", *place.flags, "--measure=distance")
    assert command(*flags).code == 0
    assert command(*flags, "--retrain=finetune").code == 0
    levels = [row for row in rows(command, place) if row["level"] is not None]
    far = {(row["retrain"], row["level"]): row["distance.l2"] for row in levels}
    assert far["finetune", 0] == far["rewind_weights", 0] > 0
    assert 0 < far["finetune", 1] < far["rewind_weights", 1] / 2


def test_masks_of_another_run_and_of_scores_are_overlapped(
    command: Command, finished: Any, small: tuple[str, ...]
) -> None:
    run = finished.one("lottery_*").name
    flags = ("lottery", *small, "--k=1", *finished.flags, "--measure=overlap", f"--overlap_with={run}/level_1")
    assert command(*flags, "--overlap_scores=adsynflow,magnitude").code == 0
    [row] = [row for row in rows(command, finished) if row["part"] == "level_1"]
    assert row["overlap.with"] == 1
    assert row["overlap.adsynflow"] == 1
    assert row["overlap.chance"] == row["overlap.with_chance"] == row["density"]
    assert row["density"] < row["overlap.magnitude"] < 1


def test_damaged_numbers_are_named_and_measured_again_once_they_are_deleted(
    command: Command, finished: Any, small: tuple[str, ...]
) -> None:
    flags = ("lottery", *small, "--k=1", "--levels=0-1", *finished.flags, "--measure=signs")
    assert command(*flags).code == 0
    file = finished.one("lottery_*/replicate_1/level_1/measurements.json")
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"changed": 0.', b'"changed": 1.', 1))
    assert {row["part"]: row["state"] for row in rows(command, finished)} == {
        "": "done", "level_0": "done", "level_1": "damaged",
    }  # fmt: skip
    run = RunDirectory(file.parents[1], "lottery", 1)
    assert [(row["level"], row["state"]) for row in result_rows(run)] == [(0, "done"), (1, "damaged")]
    for argv in (("verify", f"--root={finished.root}"), flags):
        outcome = command(*argv)
        assert outcome.code != 0
        assert "measurements.json" in outcome.out + outcome.err
        assert "Delete this file and run the same command again" in outcome.out + outcome.err
    file.unlink()
    assert command(*flags).code == 0
    assert file.read_bytes() == whole


def test_as_a_task_it_travels_as_json(finished: Any, small: tuple[str, ...]) -> None:
    from experiments.run.tasks import from_json

    session = Session(finished.root, finished.data, quiet=True, threads=1)
    grid = session.lottery(dataset="digits", model="mnist_lenet_16", training_steps="3ep", k=1, measure=["signs"])
    [task] = grid.plan()
    assert task.label == "adsynflow, k=1ep, replicate 1, signs of level 1"
    assert from_json(task.to_json()) == task
    assert "signs.changed" in grid.run().rows()[0]


def test_the_brackets_of_several_replicates_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    print_measured(Table(["strategy", "signs.changed"], [["snip", "0.02"]]))
    assert "brackets" not in capsys.readouterr().out
    print_measured(Table(["strategy", "signs.changed"], [["snip", "0.02 (0.01 to 0.03)"]]))
    assert capsys.readouterr().out.endswith("in brackets: Student's 95% interval over replicates\n")
