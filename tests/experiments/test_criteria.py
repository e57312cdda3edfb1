"""Criteria for k that look at the dense training: by hand, along a trunk, and beside each other."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from experiments.runs.searches import labels
from experiments.session import Session
from foundations import files
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from pruning import Mask
from stability.criteria import AlongTrunk, Seen, Walk, criteria
from stability.criteria.along_trunk import mask_distance, packed
from stability.criteria.early import EarlyBird, EarlyCrop
from tests.conftest import Outcome

FLAGS = ("--dataset=digits", "--model=mnist_lenet_4", "--batch_size=240", "--threads=1")
SMALL: Mapping[str, Any] = {"dataset": "digits", "model": "mnist_lenet_4", "batch_size": 240, "density": 0.4}
PER_EPOCH = 7
IMAGES = 1442  # of the training set
DENSE = 3 * (64 * 4 + 4 * 10)  # multiply-adds of a step for one image


def mask(*kept: int) -> Mask:
    """A mask of two layers, from eight numbers."""
    entries = torch.tensor(kept, dtype=torch.bool)
    return Mask({"a": entries[:6].view(2, 3), "b": entries[6:].view(2, 1)})


# By hand -------------------------------------------------------------------------------------------------------------


def test_the_distance_of_masks_is_the_share_of_weights_that_just_one_keeps() -> None:
    one, other = mask(1, 1, 0, 0, 1, 0, 1, 0), mask(1, 0, 1, 0, 1, 0, 1, 1)
    assert mask_distance(one, other) == mask_distance(other, one) == 3 / 8
    assert mask_distance(one, one) == 0
    five = [Mask({"a": torch.tensor(kept, dtype=torch.bool)}) for kept in ([1, 0, 0, 0, 0], [0, 1, 0, 0, 0])]
    assert mask_distance(*five) == 2 / 5  # not of the eight bits of a byte


def walk_of(**known: Sequence[Any]) -> Walk:
    """What a criterion is given, with masks or networks that are known."""
    what = {name: lambda step, values=values: values[step.order[0] - 1] for name, values in known.items()}
    density = SimpleNamespace(density=0.1)
    return cast(Walk, SimpleNamespace(trunk=SimpleNamespace(per_epoch=1), desc=density, **what))


def test_masks_must_stay_close_for_the_whole_window() -> None:
    """With patience 3 a mask is compared with the two before it: the last jump is between the second and the third."""
    masks = [
        mask(1, 1, 1, 1, 0, 0, 0, 0),
        mask(1, 1, 1, 0, 1, 0, 0, 0),
        mask(0, 0, 0, 0, 1, 1, 1, 1),  # all differ from the first
        mask(0, 0, 0, 1, 1, 1, 1, 0),  # 2 of 8, but the one before it is still in the window
        mask(0, 0, 0, 1, 1, 1, 1, 0),
        mask(0, 0, 0, 1, 1, 1, 1, 0),
    ]
    curve = EarlyBird(patience=3, mask_distance=0.25).walk(walk_of(mask=list(map(packed, masks))), limit=6)
    assert [point["value"] for point in curve["points"]] == [None, None, 1.0, 0.75, 0.25]
    assert curve["points"][3]["masks"] == [0.75, 0.75, 0.25]
    assert curve["k"] == "5ep0it"


def test_masks_that_never_come_to_rest_give_no_k() -> None:
    masks = [mask(1, 0, 0, 0, 0, 0, 0, 0), mask(0, 1, 0, 0, 0, 0, 0, 0)] * 3
    curve = EarlyBird(patience=2, mask_distance=0.2).walk(walk_of(mask=list(map(packed, masks))), limit=6)
    assert curve["k"] is None
    assert [point["k"] for point in curve["points"]] == [str(Step(n)) for n in range(1, 7)]


def network(weight: float, bias: float) -> nn.Module:
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(weight)
        layer.bias.fill_(bias)
    return layer


def test_early_crop_waits_until_the_distance_from_the_first_weights_hardly_grows() -> None:
    """w_1 = (3, 4), so ||w_1|| = 5; d_2 = 1 and d_3 = 1.2, d_4 = 1.25 along (3, 4) again; density 0.1."""
    networks = [network(3 * (1 + d), 4 * (1 + d)) for d in (0, 1, 1.2, 1.25, 1.26)]
    curve = EarlyCrop().walk(walk_of(network=networks), limit=5)
    assert [point["value"] for point in curve["points"]] == [None, None, pytest.approx(0.2), pytest.approx(0.05)]
    assert [point["threshold"] for point in curve["points"]] == [None, *[pytest.approx(0.1)] * 3]
    assert curve["k"] == "4ep0it"


def test_a_plug_in_says_what_it_sees_and_the_walk_does_the_rest() -> None:
    class Fifth(AlongTrunk):
        def look(self, walk: Walk, steps: Sequence[Step], before: Sequence[Seen]) -> Seen:
            return Seen(value=5.0 - len(steps), threshold=0.0)

    assert Fifth(k_every=Step("2it")).walk(walk_of(), limit=100)["k"] == "10ep0it"  # an epoch is one iteration here


def test_what_is_no_criterion_is_not_registered() -> None:
    with pytest.raises(UsageError, match="'30' reads as a step"):
        criteria.register("30")(EarlyBird)
    with pytest.raises(UsageError, match="'halfway' is not a class derived from Criterion"):
        criteria.register("halfway")(lambda question: None)  # type: ignore[type-var]


# Along a trunk -------------------------------------------------------------------------------------------------------


def curve_of(root: Path) -> dict[str, Any]:
    [place] = root.rglob(files.CURVE)
    return Store(place.parent).read_json(place.name)


def test_nothing_but_the_trunk_is_trained_and_the_level_goes_on_from_it(
    tmp_path: Path, steps_taken: list[int]
) -> None:
    session = Session(tmp_path, threads=1, reporter=Reporter())
    asked: dict[str, Any] = {**SMALL, "training_steps": "6ep", "patience": 2, "mask_distance": 0.2}
    [one] = session.lottery(**asked, k="early_bird").run()
    k = Step(curve_of(tmp_path)["k"]).iteration(PER_EPOCH)
    assert k < 6 * PER_EPOCH
    assert steps_taken == [*range(k), *range(k, 6 * PER_EPOCH)]
    session.lottery(**asked, k="early_bird").run()
    Session(tmp_path, threads=1, reporter=Reporter()).lottery(**asked, k="early_bird").run()
    assert len(steps_taken) == 6 * PER_EPOCH
    [given] = session.lottery(**SMALL, training_steps="6ep", k=curve_of(tmp_path)["k"])
    assert given.store.path == one.store.path


def test_interrupted_it_goes_on_to_the_same_k(tmp_path: Path, interrupt_at: Callable[..., None]) -> None:
    asked: dict[str, Any] = {
        **SMALL, "training_steps": "5ep", "k": "early_bird", "k_every": "4it", "patience": 4, "mask_distance": 0.15,
    }  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    Session(whole, threads=1, reporter=Reporter()).lottery(**asked).run()
    interrupt_at(13)
    with pytest.raises(KeyboardInterrupt):
        Session(cut, threads=1, reporter=Reporter()).lottery(**asked).run()
    assert sorted(path.name for path in cut.rglob("mask_*")) == [
        files.mask_at(Step(step)) for step in ("0ep4it", "1ep1it", "1ep5it")
    ]
    Session(cut, threads=1, reporter=Reporter()).lottery(**asked).run()
    assert curve_of(cut) == curve_of(whole)
    assert curve_of(cut)["k"] is not None


def test_a_mask_drawn_along_the_trunk_is_the_one_that_a_level_finds_there(tmp_path: Path) -> None:
    session = Session(tmp_path, threads=1, reporter=Reporter())
    [one] = session.lottery(
        **SMALL, training_steps="4ep", k="early_bird", patience=2, mask_distance=1.0
    ).run()  # fmt: skip
    assert curve_of(tmp_path)["k"] == "2ep0it"
    [drawn] = tmp_path.rglob(files.mask_at(Step("2ep")))
    _, kept = one.ticket()  # type: ignore[attr-defined]
    assert Mask.load(drawn) == kept


def test_how_far_it_may_look_decides_whether_it_has_to_look_again(tmp_path: Path, steps_taken: list[int]) -> None:
    session = Session(tmp_path, threads=1, reporter=Reporter())

    def found(max_k: int | None) -> str | None:
        grid = session.lottery(
            **SMALL, training_steps="6ep", k="early_bird", patience=3, mask_distance=1.0, max_k=max_k
        )
        [search] = grid.run().searches
        assert search.answer is not None
        return search.answer.k

    assert found(2) is None
    assert len(steps_taken) == 2 * PER_EPOCH
    assert found(5) == "3ep0it"
    assert len(steps_taken) == 6 * PER_EPOCH  # the third epoch, and the level's three
    assert found(2) is None
    assert found(None) == "3ep0it"
    assert len(steps_taken) == 6 * PER_EPOCH


def test_without_a_k_there_is_one_line_and_nothing_is_pruned(
    command: Callable[..., Outcome], tmp_path: Path
) -> None:
    flags = (*FLAGS, "--training_steps=3ep", "--density=0.4", f"--root={tmp_path}", "--quiet")
    done = command("lottery", *flags, "--k=early_bird", "--patience=2", "--mask_distance=0")
    assert (done.code, done.out, done.err) == (1, "", "Nothing was pruned: no k was found by early_bird.\n")
    assert not list(tmp_path.glob("lottery_*"))
    assert [row["value"] for row in curve_of(tmp_path)["points"][1:]] != [0]


def test_masks_that_cannot_differ_by_more_are_warned_of(command: Callable[..., Outcome], tmp_path: Path) -> None:
    flags = (*FLAGS, "--training_steps=2ep", "--max_k=1", "--density=0.05", f"--root={tmp_path}", "--quiet")
    said = command("lottery", *flags, "--k=early_bird", "--allow_collapse").err
    assert "no two masks of density 0.05 differ in more than 0.1 of the weights; --mask_distance=0.1 is met" in said


@pytest.mark.parametrize(
    ("command_name", "flags", "message"),
    [
        ("stability", ["--pruning_strategy=none"], "--k=early_bird: compares masks, and --pruning_strategy=none has"),
        ("lottery", ["--pruning_strategy=sparse_global"], "--pruning_strategy=sparse_global finds its mask at the end"),
        ("lottery", ["--k_every=0"], "--k_every=0ep: expected at least one step"),
        ("lottery", ["--max_k=1", "--k_every=2"], "--k=early_bird: --k_every=2ep has no step up to 1ep to look at"),
        ("lottery", ["--max_k=9"], "--max_k=9ep: beyond the end of training"),
        ("lottery", ["--patience=1"], "--patience=1: "),
        ("lottery", ["--threshold=0.1"], "--threshold belongs to lottery_branch stability, which is not selected"),
    ],
)
def test_what_does_not_go_with_it_is_refused_before_anything_is_written(
    command_name: str, flags: list[str], message: str, command: Callable[..., Outcome], tmp_path: Path
) -> None:
    root = f"--root={tmp_path / 'runs'}"
    done = command(command_name, *FLAGS, "--training_steps=3ep", "--k=early_bird", root, *flags)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "runs").exists()


def test_flags_of_a_criterion_belong_to_it(command: Callable[..., Outcome]) -> None:
    done = command("lottery", *FLAGS, "--k=auto", "--patience=3")
    assert done.code == 2
    assert "--patience belongs to --k=early_bird, which is not selected" in done.err
    assert "or auto, early_bird, early_crop;" in " ".join(command("lottery", "--help").out.split())


def test_stability_analyses_at_the_k_that_is_found(tmp_path: Path) -> None:
    session = Session(tmp_path, threads=1, reporter=Reporter())
    [row] = session.stability(
        **SMALL, training_steps="3ep", k="early_bird", patience=2, mask_distance=1.0, alphas=2
    ).run().rows()  # fmt: skip
    assert row["k"] == "2ep"


# Beside each other ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with three criteria and a k that was given."""
    root = tmp_path_factory.mktemp("compared")
    grid = Session(root, threads=1, reporter=Reporter()).lottery(
        **SMALL, training_steps="4ep", k=["auto", "early_bird", "early_crop", 1], threshold=0.99, alphas=2, max_k=3,
        patience=2, mask_distance=1.0,
    )  # fmt: skip
    grid.run()
    rows = grid.criteria()
    assert [(row["criterion"], row["k"]) for row in rows] == [
        ("auto", "0ep"), ("early_bird", "2ep"), ("early_crop", None), ("k=1ep", "1ep"),
    ]  # fmt: skip
    return root


COMPARED = (
    *FLAGS, "--density=0.4", "--training_steps=4ep", "--k=auto,early_bird,early_crop,1", "--threshold=0.99",
    "--alphas=2", "--max_k=3", "--patience=2", "--mask_distance=1.0",
)  # fmt: skip


def test_criteria_are_compared_in_a_table_with_what_they_cost(
    compared: Path, command: Callable[..., Outcome], steps_taken: list[int]
) -> None:
    done = command("lottery", *COMPARED, f"--root={compared}")
    assert (done.code, steps_taken) == (1, [])
    assert done.err.splitlines()[-1] == "Not everything was pruned: no k was found by early_crop."
    place = next(line for line in done.err.splitlines() if "criteria_" in line).partition(": ")[2]
    with (Path(place) / "criteria.csv").open() as file:
        rows = {row["criterion"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["auto", "early_bird", "early_crop", "k=1ep"]
    assert [rows[name]["k"] for name in rows] == ["0ep", "2ep", "", "1ep"]
    assert {row["dense_training"] for row in rows.values()} == {str(4 * IMAGES * DENSE)}
    assert [int(rows[name]["trunk"]) for name in rows] == [epochs * IMAGES * DENSE for epochs in (4, 2, 3, 1)]
    kept = round(0.4 * DENSE / 3)
    assert [int(rows[name]["children"]) for name in ("auto", "early_bird")] == [2 * 4 * IMAGES * 3 * kept, 0]
    # A mask of AdSynFlow: 100 times forward, and backward to all weights and to the hidden layer.
    once = 100 * (2 * (64 * 4 + 4 * 10) + 4 * 10)
    assert [int(rows[name]["scores"]) for name in rows] == [once, 2 * once, 0, 0]
    assert rows.pop("early_crop")["test_accuracy"] == ""
    for row in rows.values():
        here = Store(Path(row["path"]))
        assert float(row["test_accuracy"]) == here.result()["test_accuracy"]
    table = done.out[done.out.index("criterion ") :]
    assert max(map(len, table.splitlines()[:5])) <= 80
    scores = 2 * once / (4 * IMAGES * DENSE)
    expected = ["early_bird", "2ep", "0.5", "0", f"{scores:.3g}", f"{0.5 + scores:.3g}"]
    assert table.splitlines()[2].split()[:6] == expected
    assert table.splitlines()[3].split()[:2] == ["early_crop", "none"]
    assert {path.name for path in Path(place).glob("*.png")} == {"early_bird.png", "early_crop.png"}


def test_the_page_has_the_table_and_the_curves(
    compared: Path, command: Callable[..., Outcome], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert command("report", f"--root={compared}", f"--output={page}").code == 0
    assert "Criteria for k" in page.read_text()
    with (tmp_path / "page_files" / "table_criteria.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["criterion"] for row in rows][:3] == ["auto", "early_bird", "early_crop"]
    assert (tmp_path / "page_files" / "criterion_early_bird.svg").stat().st_size > 0


def test_what_criteria_found_is_listed_and_verified(compared: Path, command: Callable[..., Outcome]) -> None:
    lines = command("list", f"--root={compared}").out.splitlines()
    assert any({"stability", "early_bird", "2ep", "done"} <= {*line.replace("_", " ", 1).split()} for line in lines)
    assert "nothing is wrong" in command("verify", f"--root={compared}").out


def test_a_damaged_curve_is_found_and_made_again(
    compared: Path, command: Callable[..., Outcome], tmp_path: Path
) -> None:
    flags = (*FLAGS, "--density=0.4", "--training_steps=2ep", "--k=early_crop", f"--root={tmp_path}", "--quiet")
    assert command("lottery", *flags).code == 1
    [place] = tmp_path.rglob(files.CURVE)
    whole = place.read_bytes()
    place.write_bytes(whole.replace(b'"limit"', b'"limitt"'))
    assert command("lottery", *flags).code == 2
    assert command("verify", f"--root={tmp_path}", "--repair").code in (0, 1)
    assert command("lottery", *flags).code == 1
    assert place.read_bytes() == whole


def test_criteria_of_a_kind_say_in_which_settings_they_differ() -> None:
    settings = [{"patience": patience, "k_every": "1ep0it"} for patience in (3, 5)]
    records = {str(one["patience"]): {"criterion": "early_bird", "settings": one} for one in settings}
    other = {"a": {"criterion": "auto", "settings": {}}}
    assert labels({**records, **other}) == {"3": "early_bird, patience=3", "5": "early_bird, patience=5", "a": "auto"}


def test_all_have_a_line_where_available_lists_them(command: Callable[..., Outcome]) -> None:
    lines = command("available", "criteria").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == criteria.names()
    assert all(len(line) <= 100 and len(line.split()) > 3 for line in lines)
