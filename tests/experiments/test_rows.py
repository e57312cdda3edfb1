"""Descriptors and stored runs as rows."""

import shutil
from pathlib import Path

from experiments.report.page.runs import compute_sentences
from experiments.runs.rows import density_text, flat, leaves, result_rows
from experiments.runs.status import Status
from experiments.runs.stored import open as open_run
from foundations import files
from foundations.store import Store
from tests.test_stored_runs import FORMAT_2, LOTTERY, STABILITY


def test_nested_entries_have_the_names_that_lead_to_them() -> None:
    entries = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": {}}
    assert list(leaves(entries)) == [(("a", "b"), 1), (("a", "c"), [1, 2]), (("d",), None)]


def test_a_strategy_is_a_flag_beside_its_own() -> None:
    entries = {"train": {"training": {"lr": 0.1}}, "strategy": {"kind": "synflow", "synflow_input": "ones"}}
    assert flat(entries) == {"lr": 0.1, "pruning_strategy": "synflow", "synflow_input": "ones"}
    assert flat({"strategy": None, "pruning": None}) == {"pruning_strategy": "none"}


def test_every_kind_of_run_has_rows_with_its_numbers_and_how_it_ended() -> None:
    stability, lottery, train = (FORMAT_2 / run for run in (STABILITY, LOTTERY, "train_a7b76040da42/replicate_1"))
    [analysis] = result_rows(open_run(stability))
    assert (analysis["k"], analysis["state"], analysis["verdict"]) == (
        "1ep", "done", "unstable (at chance level)",
    )  # fmt: skip
    assert analysis["test_error_barrier_raw"] < analysis["threshold"]
    level = result_rows(open_run(lottery), ["level_1"])[0]
    assert (level["density"], level["density_asked"], level["kept"]) == (0.5, 0.5, 148)
    [training] = result_rows(open_run(train))
    assert training["test_accuracy"] == open_run(train).result["test_accuracy"]


def test_a_row_says_what_its_number_has_cost_with_children_and_gpus(tmp_path: Path) -> None:
    """An analysis of 100 s and two children of 1,000 s, one of them at its second attempt, on two GPUs."""
    run = Store(shutil.copytree(FORMAT_2 / STABILITY, tmp_path / STABILITY))
    [part] = open_run(run.path).parts
    costs = [(100.0, 1), (1000.0, 1), (1000.0, 2)]
    for here, (seconds, attempts) in zip((part.store, *part.children), costs, strict=False):
        Status(
            state="done", task="", since="", seconds=seconds, processor_seconds=2 * seconds, peak_memory=seconds / 10,
            attempts=attempts,
        ).write(here)  # fmt: skip
    environment = run.read_json(files.ENVIRONMENT)
    [row] = result_rows(open_run(run.path))
    assert "gpu_seconds" not in row
    run.write_json(files.ENVIRONMENT, {**environment, "device": "NVIDIA H200", "cpu": "EPYC", "processes": 2})
    [row] = result_rows(open_run(run.path))
    names = ("attempts", "seconds", "processor_seconds", "gpu_seconds", "peak_memory", "processor", "threads")
    assert [row[name] for name in names] == [2, 2100, 4200, 4200, 100, "EPYC", environment["threads"]]
    [sentence] = compute_sentences([open_run(run.path)])
    assert sentence == (
        "0:35:00, 1:10:00 of processors, 1:10:00 of GPUs, at most 100 MB a process "
        f"(NVIDIA H200, EPYC, threads: {environment['threads']}; all attempts)."
    )


def test_a_damaged_part_has_a_reason_and_no_numbers(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_2 / LOTTERY, tmp_path / LOTTERY)
    (tmp_path / LOTTERY / "level_1" / "done.json").write_bytes(b"{")
    [row] = result_rows(open_run(tmp_path / LOTTERY), ["level_1"])
    assert row["state"] == "damaged"
    assert "done.json" in row["reason"]
    assert "test_accuracy" not in row


def test_densities_are_shown_as_they_were_asked_for() -> None:
    assert [density_text(density) for density in (1, 0.1, 0.8**3, 0.8**10, 0.001)] == [
        "100%", "10%", "51.2%", "10.74%", "0.1%",
    ]  # fmt: skip
