"""Studies: plans of ordinary experiments, their rows, and the tables made from them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.studies.__main__ import studies
from benchmarks.studies.document import (
    FILE,
    NOT_RUN,
    accuracy_table,
    barrier_table,
    difference_cells,
    judged,
    listed,
    markdown,
    not_run,
    paired,
    still_to_run,
    summary,
    updated,
    was_run,
)
from benchmarks.studies.figures import analyses, trainings
from benchmarks.studies.rows import TRAININGS, grid_of, read, write
from benchmarks.studies.study import Part, Study
from cli import main
from experiments.report.figures.stability import barrier_by_index
from experiments.session import Session
from foundations.comparisons import PairedDifference
from models.factory import ModelHparams, build
from models.registry import ImageShape
from pruning import PruningHparams
from pruning.prune import check_layers

TRAINING = {"model": "mnist_lenet_16", "dataset": "digits", "training_steps": "2ep"}


def tiny() -> Study:
    return Study(
        name="tiny", summary="two methods", about="LeNet on digits.", training=TRAINING, reference="SynFlow",
        parts=(
            Part(title="full network", command="train", flags={**TRAINING, "replicate": [1, 2]}),
            Part(
                title="SynFlow", command="lottery", published="50% (a paper)",
                flags={**TRAINING, "pruning_strategy": "synflow", "k": 0, "density": 0.2, "replicate": [1, 2]},
            ),
            Part(
                title="random", command="lottery",
                flags={**TRAINING, "pruning_strategy": "random", "k": 1, "density": 0.2, "replicate": [1]},
            ),
        ),
    )  # fmt: skip


def row(title: str, accuracy: float, replicate: int = 1, density: float = 0.1, state: str = "done") -> dict[str, str]:
    values = {"title": title, "k": "0ep", "density": density, "replicate": replicate, "test_accuracy": accuracy}
    return {**{name: str(value) for name, value in values.items()}, "state": state}


def test_the_document_is_what_the_rows_say() -> None:
    text = FILE.read_text()
    assert text == updated(text, studies().values()), "python -m benchmarks.studies document writes it anew"
    assert NOT_RUN.read_text() == still_to_run(studies().values())


@pytest.mark.parametrize("name", studies())
def test_every_part_of_a_study_is_experiments_that_can_be_defined(name: str, tmp_path: Path) -> None:
    session = Session(root=tmp_path, data_dir=tmp_path, quiet=True)
    for part in studies()[name].parts:
        assert len(grid_of(part, session)) >= len(part.flags["replicate"])


@pytest.mark.parametrize("name", studies())
def test_the_layers_that_a_study_names_are_those_of_its_network(name: str) -> None:
    shape = ImageShape(3, 64, 64, 10)
    for part in studies()[name].parts:
        named = {flag: tuple(part.flags.get(flag, ())) for flag in ("layers_to_ignore", "layers_apart")}
        if any(named.values()):
            model = build(ModelHparams(model=part.flags["model"]), shape, torch.Generator())
            check_layers(model, PruningHparams(**named))


def test_the_command_line_of_a_part_comes_to_its_directories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two ways to the same runs: the Python API, which reads the rows, and the command line, which computes them."""
    part = tiny().parts[1]
    assert main([*part.arguments, f"--root={tmp_path}", "--display_output_location"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(one.store.path) for one in grid_of(part, Session(root=tmp_path, quiet=True))]


def test_what_is_done_becomes_rows_and_the_rest_is_listed(tmp_path: Path) -> None:
    study, session = tiny(), Session(root=tmp_path / "runs", threads=1, quiet=True)
    grid_of(study.parts[1], session).run()
    write(study, session, tmp_path)
    rows = read(tmp_path / "tiny.csv")
    assert [(row["title"], row["replicate"], row["k"]) for row in rows] == [
        ("SynFlow", "1", "0ep"),
        ("SynFlow", "2", "0ep"),
    ]
    assert all(float(row["test_accuracy"]) > 0.2 and row["torch"] and row["date"] for row in rows)
    run, left = "\n".join(was_run(study, rows, [])), listed(study, not_run(study, rows, []))
    assert "- random: `lottery --pruning_strategy=random --k=1 --density=0.2 --replicate=1`" in left
    assert "- SynFlow" in run
    assert "- SynFlow" not in left


def test_the_training_of_what_is_followed_is_kept_by_epoch_and_drawn(tmp_path: Path) -> None:
    """Both networks train for two epochs; the pruned one leaves the trunk after the first, so it has one row less."""
    pruned = Part(
        title="pruned", command="lottery",
        flags={**TRAINING, "pruning_strategy": "random", "k": 1, "density": 0.2, "replicate": [1]},
    )  # fmt: skip
    study = replace(tiny(), parts=(tiny().parts[0], pruned), followed=("full network", "pruned"))
    session = Session(root=tmp_path / "runs", threads=1, quiet=True)
    for part in study.parts:
        grid_of(part, session).run()
    write(study, session, tmp_path)
    rows = read(TRAININGS.file_of(study, tmp_path))
    assert [(row["title"], row["replicate"], float(row["epoch"])) for row in rows] == [
        *(("full network", replicate, epoch) for replicate in "12" for epoch in (0, 1, 2)),
        ("pruned", "1", 1), ("pruned", "1", 2),
    ]  # fmt: skip
    last = {(row["title"], row["replicate"]): row["test_accuracy"] for row in rows}
    assert all(last[row["title"], row["replicate"]] == row["test_accuracy"] for row in read(tmp_path / "tiny.csv"))
    axes = trainings(study, rows).axes[0]
    assert axes.get_legend_handles_labels()[1] == ["full network", "pruned"]


def barrier(title: str, k: int, value: float, replicate: int = 1) -> dict[str, str]:
    values = {"title": title, "k": f"{k}ep", "level": "", "density": 1.0, "replicate": replicate, "pairs": 1,
              "threshold": 0.02, "test_error_barrier_raw": value, "test_error_barrier_recalculated": value,
              "train_error_barrier_raw": value, "child_accuracy": 0.8, "full_network_accuracy": 0.9,
              "accuracy_gap": 0.1, "stable": value < 0.02}  # fmt: skip
    return {name: str(value) for name, value in values.items()}


def test_a_barrier_is_judged_by_its_interval_over_replicates() -> None:
    """Of 0.5 and 1.5 points Student's 90% interval with one degree of freedom reaches 6.31 x 0.5 points from 1."""
    assert judged([barrier("a", 0, 0.005)]) == ("", "stable")
    assert judged([barrier("a", 0, 0.005, 1), barrier("a", 0, 0.015, 2)]) == ("0.00 to 4.16", "undecided")
    assert judged([barrier("a", 0, 0.010, 1), barrier("a", 0, 0.011, 2)])[1] == "stable"
    assert judged([barrier("a", 0, 0.5, 1), barrier("a", 0, 0.51, 2)])[1] == "unstable"


def test_a_barrier_of_one_replicate_is_judged_by_its_interval_over_children() -> None:
    row = {**barrier("a", 0, 0.018), "test_error_barrier_low": "0.017", "test_error_barrier_high": "0.019"}
    assert judged([row]) == ("1.70 to 1.90", "stable")
    assert judged([{**row, "test_error_barrier_high": "0.021"}]) == ("1.70 to 2.10", "undecided")


def test_barriers_between_aligned_children_are_a_column_where_there_are_any() -> None:
    rows = [barrier("a", 0, 0.5, 1), barrier("a", 0, 0.7, 2)]
    assert "aligned" not in barrier_table(tiny(), rows)[1]
    heading, _, line = barrier_table(tiny(), [{**rows[0], "test_error_barrier_aligned": "0.1"}, rows[1]])[1].split("\n")
    assert heading.startswith("| network | k | barrier | 90% interval | verdict | recalculated | aligned |")
    assert line.startswith("| a | 0ep | 60.00 ± 14.14 (2) | 0.00 to 123.14 | undecided")
    assert "| 10.00 (1) |" in line


def test_the_figure_of_barriers_has_the_mean_over_replicates_at_each_k() -> None:
    rows = [barrier("pruned", 0, 0.3, 1), barrier("pruned", 0, 0.5, 2), barrier("pruned", 2, 0.1, 1)]
    figure = barrier_by_index(analyses([*rows, barrier("another", 0, 0.9)], ["pruned"]))
    (curve, *_), *_ = figure.axes[0].containers
    assert curve.get_xydata().tolist() == [[0, pytest.approx(40)], [2, pytest.approx(10)]]
    [title] = figure.texts
    assert title.get_text() == "Means over 1 pair of children in 1 to 2 replicates; bars: standard deviation"


def test_rows_of_another_machine_stay(tmp_path: Path) -> None:
    study = tiny()
    for number, part in enumerate(study.parts[1:], 1):
        session = Session(root=tmp_path / f"machine_{number}", threads=1, quiet=True)
        grid_of(part, session).run()
        write(study, session, tmp_path)
    assert [row["title"] for row in read(tmp_path / "tiny.csv")] == ["SynFlow", "SynFlow", "random"]


def test_differences_are_taken_replicate_by_replicate() -> None:
    """0.82 - 0.80 and 0.85 - 0.81: 3 ± 12.7 points, t with one degree of freedom being 12.7 and the error 1 point."""
    reference = [row("SynFlow", 0.80, 1), row("SynFlow", 0.81, 2), row("SynFlow", 0.90, 3)]
    own = [row("SNIP", 0.82, 1), row("SNIP", 0.85, 2)]
    found = paired(own, reference, "SynFlow", "10%")
    assert found is not None
    assert found.text() == "+3.00 (-9.71 to 15.71), n = 2"


def test_comparisons_are_counted() -> None:
    """p = 0.03 is told apart alone, and not beside a second comparison, since 2 x 0.03 > 5%."""
    one, other = PairedDifference(3, 1.0, 0.2, 1.8, 0.03), PairedDifference(3, 0.5, -1.0, 2.0, 0.4)
    assert difference_cells([one, None]) == [["**+1.00 (0.20 to 1.80), n = 3**"], [""]]
    assert difference_cells([one, other]) == [["+1.00 (0.20 to 1.80), n = 3"], ["+0.50 (-1.00 to 2.00), n = 3"]]


def test_replicates_that_did_not_end_well_are_counted() -> None:
    assert (
        summary([row("SNIP", 0.5), row("SNIP", 0.6), row("SNIP", 0.1, state="collapsed")])
        == "55.00 ± 7.07 (2); 1 collapsed"
    )


def test_a_table_by_density() -> None:
    rows = [row("SynFlow", 0.5), row("SynFlow", 0.4, density=0.05), row("random", 0.3)]
    assert markdown(accuracy_table(tiny(), rows)).splitlines() == [
        "| method | k | 10% kept | 5% kept | minus SynFlow, at 10%: 95% interval | published |",
        "|---|---|---|---|---|---|",
        "| SynFlow | 0ep | 50.00 (1) | 40.00 (1) |  | 50% (a paper) |",
        "| random | 0ep | 30.00 (1) |  | -20.00, n = 1 |  |",
    ]
