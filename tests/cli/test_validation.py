"""``--validation_fraction`` on the command line: tables, files, and stability judged by it."""

import csv
import json
from collections.abc import Callable
from typing import Any

from foundations.store import Store

Command = Callable[..., Any]
SHORT = (
    "--dataset=digits", "--subsample_fraction=0.2", "--model=mnist_lenet_16", "--training_steps=3ep", "--threads=1",
    "--lr=0.2", "--validation_fraction=0.1",
)  # fmt: skip


def test_tables_and_files_have_early_stopping_beside_the_end(command: Command, place: Any) -> None:
    flags = ("--pruning_strategy=magnitude,random", "--k=1", "--levels=0-1")
    outcome = command("lottery", *SHORT, *flags, *place.flags)
    assert outcome.code == 0
    assert "early stopping" in outcome.out.splitlines()[0]
    report = place.one("report/lottery_*")
    with (report / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (report / "early_stopping.svg").is_file()
    for row in rows:
        store = Store(place.root / row["path"])
        result = store.result()
        metrics = store.read_rows("metrics.jsonl")
        best = min(metrics, key=lambda line: line["validation_loss"])
        assert int(row["early_stopping_iteration"]) == result["early_stopping_iteration"] == best["iteration"]
        assert float(row["early_stopping_test_accuracy"]) == best["test_accuracy"]
        assert float(row["validation_accuracy"]) == metrics[-1]["validation_accuracy"]
    listed = json.loads(command("list", "--json", f"--root={place.root}").out)
    assert {row["early_stopping_iteration"] for row in listed if row["level"] == 1} == {
        int(row["early_stopping_iteration"]) for row in rows if row["level"] == "1"
    }


def test_a_training_has_it_in_its_table(command: Command, place: Any) -> None:
    outcome = command("train", *SHORT, *place.flags)
    assert "early stopping" in outcome.out.splitlines()[0]


def test_children_are_measured_on_the_trunks_validation_set_and_can_be_judged_by_it(
    command: Command, place: Any
) -> None:
    flags = (*SHORT, "--pruning_strategy=none", "--k=3ep", "--alphas=3", *place.flags)
    assert command("stability", *flags).code == 0
    of_trunk = Store(place.one("train_*/replicate_1")).read_rows("metrics.jsonl")[-1]
    for child in (1, 2):  # they start where the trunk ends, and take no step
        [row] = Store(place.one(f"stability_*/replicate_1/k_3ep0it/child_{child}")).read_rows("metrics.jsonl")
        assert row["validation_loss"] == of_trunk["validation_loss"]
    by_test = Store(place.one("stability_*/replicate_1/k_3ep0it")).read_json("instability.json")
    assert "validation barrier raw" in command("stability", *flags, "--judge_by=validation").out.splitlines()[0]
    by_validation = Store(place.one("stability_*/replicate_1/k_3ep0it")).read_json("instability.json")
    assert (by_test["analysis"].get("judge_by"), by_validation["analysis"]["judge_by"]) == (None, "validation")
    assert by_validation["examples"]["validation"] == 144


def test_without_a_validation_set_nothing_can_be_judged_by_it(command: Command, place: Any) -> None:
    flags = [flag for flag in SHORT if not flag.startswith("--validation")]
    for argv in (("stability", "--k=1"), ("stability", "--k=auto"), ("lottery", "--k=auto")):
        outcome = command(*argv, *flags, "--judge_by=validation", *place.flags)
        assert outcome.code == 2
        assert outcome.err.strip() == (
            "--judge_by=validation: there is no validation set; give --validation_fraction"
        )  # fmt: skip
        assert not place.root.exists()
