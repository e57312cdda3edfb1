"""``stability`` on the command line."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
SHORT = (
    "--dataset=digits", "--subsample_fraction=0.2", "--model=mnist_lenet_16", "--training_steps=2ep", "--threads=1",
    "--alphas=3", "--lr=0.2",
)  # fmt: skip


def networks(root: Path) -> dict[str, bytes]:
    """The bytes of all networks, masks, tables and verdicts below ``root``."""
    kinds = (".safetensors", ".csv", "instability.json")
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.name.endswith(kinds)}


def test_a_table_a_verdict_and_a_report(command: Command, place: Any) -> None:
    outcome = command("stability", *SHORT, "--k=0,1", "--pruning_strategy=none,adsynflow", *place.flags)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["none", "0ep"], ["none", "1ep"], ["adsynflow", "0ep"], ["adsynflow", "1ep"],
    ]  # fmt: skip
    assert lines[5].startswith("none: ")
    assert lines[6].startswith("adsynflow: ")
    assert str(place.one("report/stability_*")) in outcome.err
    assert place.one("report/stability_*/barrier_by_k.csv").is_file()


def test_optimizers_side_by_side_have_names_trunks_and_curves_of_their_own(command: Command, place: Any) -> None:
    flags = (*SHORT, "--optimizer=momentum,sgd", "--pruning_strategy=none", "--k=1")
    outcome = command("stability", *flags, *place.flags)
    assert outcome.code == 0
    assert [line.split()[:3] for line in outcome.out.splitlines()[1:3]] == [
        ["none,", "momentum", "1ep"], ["none,", "sgd", "1ep"],
    ]  # fmt: skip
    with place.one("report/stability_*/training.csv").open() as file:
        full = [row for row in csv.DictReader(file) if row["network"] == "full network"]
    last = {row["trunk"]: row["test_accuracy"] for row in full if row["epoch"] == "2.0"}
    assert len(last) == 2
    assert len(set(last.values())) == 2


def test_the_full_network_from_a_checkpoint_gets_its_descriptor_back(command: Command, place: Any) -> None:
    shared = [flag for flag in SHORT if not flag.startswith("--alphas")]
    assert command("train", *shared, "--to=1ep", *place.flags).code == 0
    weights = place.one("train_*/replicate_1/model_1ep0it.safetensors")
    flags = (*SHORT, "--k=1", f"--checkpoint={weights}", "--report=false", *place.flags)
    assert command("stability", *flags).code == 0
    run = place.one("stability_*/replicate_1/k_1ep0it/full_network").parent.parent
    before = (run / "desc.json").read_bytes()
    (run / "desc.json").write_text("{")
    assert command("verify", str(run)).code == 1
    assert command("verify", str(run), "--repair").code == 1
    assert command("stability", *flags).code == 0
    assert (run / "desc.json").read_bytes() == before
    assert command("verify", str(run)).code == 0


def test_again_it_computes_nothing_and_changes_no_file(command: Command, place: Any, steps_taken: list[int]) -> None:
    flags = (*SHORT, "--k=1", *place.flags)
    first = command("stability", *flags)
    before = place.files()
    steps_taken.clear()
    again = command("stability", *flags)
    assert (again.code, again.out) == (0, first.out)
    assert steps_taken == []
    assert place.files() == before
    assert "Nothing was computed" in again.err


def test_auto_finds_a_k_and_without_one_exits_with_1(command: Command, place: Any) -> None:
    found = command("stability", *SHORT, "--k=auto", "--threshold=0.99", "--report=false", *place.flags)
    assert found.code == 0
    assert "at most 2 more analyses of 2 children" in found.err
    assert "the smallest k found stable is 0ep" in found.out
    none = command("stability", *SHORT, "--k=auto", "--threshold=1e-9", "--report=false", *place.flags)
    assert none.code == 1
    assert "no k was found stable" in none.out
    assert len(none.out.splitlines()) == 4  # the curve so far: 0 and 1 epochs


def test_a_k_given_and_found_is_one_line(command: Command, place: Any) -> None:
    outcome = command("stability", *SHORT, "--k=auto,0", "--threshold=0.99", "--report=false", *place.flags)
    assert outcome.code == 0
    assert len([line for line in outcome.out.splitlines() if "warning" not in line]) == 3
    assert "+-" not in outcome.out
    assert "points below the full network" in outcome.out  # two epochs of a tiny network are no training


def test_lottery_prunes_at_the_k_that_is_found(command: Command, place: Any) -> None:
    flags = (*SHORT, "--k=auto", "--density=0.4", "--levels=2", "--report=false", *place.flags)
    outcome = command("lottery", *flags, "--threshold=0.99")
    assert outcome.code == 0
    assert "the smallest k found stable is 0ep" in outcome.out
    assert outcome.out.splitlines()[-1].split()[:4] == ["adsynflow", "0ep", "2", "40%"]
    lottery, stability = (place.one(f"{kind}_*/replicate_1") for kind in ("lottery", "stability"))
    assert stability.joinpath("k_0ep0it/mask.safetensors").is_file()
    assert lottery.joinpath("level_2/done.json").is_file()
    refused = command("lottery", *flags, "--threshold=1e-9")
    assert refused.code == 1
    assert "Nothing was pruned" in refused.err


def test_the_branch_analyses_every_level(command: Command, place: Any, steps_taken: list[int]) -> None:
    flags = (*[flag for flag in SHORT if flag != "--alphas=3"], "--k=1", "--levels=0-2", *place.flags)
    outcome = command("lottery_branch", "stability", *flags, "--alphas=3")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 4
    for level in range(3):
        assert place.one(f"lottery_*/replicate_1/level_{level}/stability_*/instability.json").is_file()
    report = place.one("lottery_*/replicate_1/report/stability")
    assert str(report) in outcome.err
    assert len((report / "barrier_by_level.csv").read_text().splitlines()) == 4
    steps_taken.clear()
    assert command("lottery_branch", "stability", *flags, "--alphas=5", "--report=false").code == 0
    assert steps_taken == []  # finer, but nothing is trained again
    assert len(list(place.root.rglob("stability_*"))) == 3
    assert len((report / "lines.csv").read_text().splitlines()) == 1 + 3 * 3 * 4  # as it was, with 3 alphas


def test_display_output_location_computes_nothing(command: Command, place: Any) -> None:
    outcome = command("stability", *SHORT, "--k=0,1", "--display_output_location", *place.flags)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 1
    assert place.untouched


def test_flags_of_pruning_in_a_list_are_for_the_others(command: Command, place: Any) -> None:
    show = ("--display_output_location", *place.flags)
    both = command("stability", *SHORT, "--k=1", "--pruning_strategy=none,adsynflow", "--density=0.3,0.2", *show)
    assert both.code == 0
    assert len(both.out.splitlines()) == 3
    alone = command("stability", *SHORT, "--k=1", "--pruning_strategy=none", *show)
    assert alone.out.splitlines()[0] in both.out


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--threshold=1"], "--threshold=1.0: expected a number in (0, 1)"),
        (["--threshold=0"], "--threshold=0.0: expected a number in (0, 1)"),
        (["--children=1"], "--children=1: expected a number in [2, inf)"),
        (["--alphas=1"], "--alphas=1: expected a number in [2, inf)"),
        (["--k=3"], "--k=3ep: beyond --training_steps=2ep"),
        (["--k=1", "--checkpoint=/nowhere"], "--checkpoint=/nowhere: No such file"),
        (["--k=1", "--pruning_strategy=none", "--density=0.1"], "--density=0.1: does not apply"),
        (["--k=1", "--density=0.1", "--pruning_fraction=0.1"], "say the same thing"),
        (["--k=auto", "--max_k=3"], "--max_k=3ep: beyond"),
        (["--k=1", "--max_k=1"], "--max_k=1ep: applies to --k=auto"),
        (["--k=1", "--perturb_hyperparameters=1"], "--perturb_hyperparameters=1.0: expected a number in [0, 1)"),
    ],
)
def test_bad_input_is_one_clear_line(command: Command, place: Any, flags: list[str], complaint: str) -> None:
    outcome = command("stability", *[flag for flag in SHORT if flag[:8] not in flags[0]], *flags, *place.flags)
    assert outcome.code == 2
    assert complaint in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not place.root.exists()


def test_aligning_and_a_plane_train_no_child_again(command: Command, place: Any, steps_taken: list[int]) -> None:
    flags = (*SHORT, "--k=1", *place.flags)
    assert command("stability", *flags).code == 0
    steps_taken.clear()
    outcome = command("stability", *flags, "--align", "--plane=3")
    assert outcome.code == 0
    assert steps_taken == []
    assert "aligned, recalculated" in outcome.out.splitlines()[0]
    assert place.one("stability_*/replicate_1/k_*/plane.csv").is_file()
    assert place.one("stability_*/replicate_1/report/plane.svg").is_file()


def test_a_network_that_cannot_be_traced_is_refused_before_anything_is_trained(
    command: Command, place: Any, tmp_path: Path
) -> None:
    (tmp_path / "undecided.py").write_text(
        "from torch import nn\n"
        "from models import models\n\n\n"
        "class Undecided(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x if x.sum() > 0 else -x)\n\n\n"
        '@models.register("undecided")\n'
        "def undecided(shape):\n"
        "    return Undecided(nn.Flatten(), nn.Linear(64, shape.classes))\n"
    )
    flags = (f"--plugin={tmp_path / 'undecided.py'}", *SHORT, "--model=undecided", "--k=1", "--align", *place.flags)
    outcome = command("stability", *flags)
    assert outcome.code == 2
    assert "--align: Undecided cannot be traced" in outcome.err
    assert place.untouched
