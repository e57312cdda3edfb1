"""Analyses that go on: again, with more of something, interrupted, by parts, or with something damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.report.collect import collect
from foundations.errors import UsageError
from foundations.reporting import Event, RowAdded
from foundations.steps import Step
from pruning import Mask
from stability import AnalysisAtK, StabilityDesc
from tests.stability.trained import equal, tensors

MakeRunner = Callable[..., AnalysisAtK]
Contents = Callable[[Path], dict[str, tuple[int, bytes]]]


# Again and more ----------------------------------------------------------------------------------------------------


def test_again_it_computes_nothing_and_changes_no_file(
    tmp_path: Path, make_runner: MakeRunner, steps_taken: list[int], contents: Contents
) -> None:
    make_runner(tmp_path).compare()
    before = contents(tmp_path)
    steps_taken.clear()
    make_runner(tmp_path).compare()
    assert steps_taken == []
    assert contents(tmp_path) == before


def test_more_children_and_alphas_only_add(
    tmp_path: Path, make_runner: MakeRunner, steps_taken: list[int], contents: Contents
) -> None:
    make_runner(tmp_path).compare()
    before = contents(tmp_path)
    rows = (tmp_path / make_runner(tmp_path).here.path / "interpolation.csv").read_text().splitlines()
    steps_taken.clear()
    runner = make_runner(tmp_path, children=3, alphas=9)
    runner.compare()
    assert steps_taken == list(range(5, 20))  # the third child, from k = 1 epoch to 4
    after = contents(tmp_path)
    changed = {name for name in before if after[name] != before[name] and not name.endswith(".lock")}
    assert {Path(name).name for name in changed} == {"interpolation.csv", "instability.json"}
    assert set(rows) <= set((runner.here / "interpolation.csv").read_text().splitlines())


def test_another_threshold_changes_the_verdict_alone(
    tmp_path: Path, make_runner: MakeRunner, steps_taken: list[int], full: StabilityDesc
) -> None:
    make_runner(tmp_path, full, k="3ep").compare()
    steps_taken.clear()
    runner = make_runner(tmp_path, full, k="3ep", threshold=1e-9)
    runner.compare()
    assert steps_taken == []
    assert runner.result().threshold == 1e-9


@pytest.mark.parametrize("stop_at", ["child_1: 3ep", "child_2: 2ep", "child_2: 4ep"])
def test_interrupted_it_goes_on_to_the_same_bits(tmp_path: Path, make_runner: MakeRunner, listener, stop_at) -> None:
    whole = make_runner(tmp_path / "whole")
    whole.compare()
    hear, broken = listener.hear, make_runner(tmp_path / "broken")

    def interrupt(event: Event) -> None:
        if isinstance(event, RowAdded) and stop_at == f"{event.path.name}: {Step(event.row['step']).short}":
            raise KeyboardInterrupt
        hear(event)

    listener.hear = interrupt
    with pytest.raises(KeyboardInterrupt):
        broken.compare()
    listener.hear = hear
    assert not broken.done
    broken.compare()
    for name in ("interpolation.csv", "instability.json"):
        assert (broken.here / name).read_bytes() == (whole.here / name).read_bytes()


def test_interrupted_on_the_line_it_keeps_the_points(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stability.interpolation import Line

    real, walked = Line.go_to, []

    def go_to(self, alpha: float):
        walked.append(alpha)
        if len(walked) == 3:
            raise KeyboardInterrupt
        return real(self, alpha)

    monkeypatch.setattr(Line, "go_to", go_to)
    runner = make_runner(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.compare()
    runner.compare()
    assert walked == [0, 0.25, 0.5, 0.5, 0.75, 1]


def test_one_child_alone_is_the_same_child(tmp_path: Path, make_runner: MakeRunner) -> None:
    """What --jobs rests on: children trained in any order by any process are those of a sequential run."""
    whole, parts = make_runner(tmp_path / "whole"), make_runner(tmp_path / "parts")
    whole.compare()
    parts.train_child(2)
    assert not (parts.here / "child_1").exists()
    parts.train_child(1)
    assert all(equal(tensors(whole, child), tensors(parts, child)) for child in (1, 2))


def test_the_parts_one_by_one_are_the_whole(tmp_path: Path, make_runner: MakeRunner, steps_taken: list[int]) -> None:
    whole, parts = make_runner(tmp_path / "whole"), make_runner(tmp_path / "parts")
    whole.compare()
    assert not parts.has_mask
    assert parts.mask() == whole.mask()
    assert parts.has_mask
    assert parts.full_network()["test_accuracy"] == whole.result().full_network_accuracy
    for number in (1, 2):
        assert not parts.children.done(number)
        parts.train_child(number)
        assert parts.children.done(number)
    assert not parts.done
    steps_taken.clear()
    assert parts.compare() == parts.result() == whole.result()
    assert steps_taken == []
    assert parts.done


def test_the_last_part_alone_does_what_is_missing(tmp_path: Path, make_runner: MakeRunner, shared_root: Path) -> None:
    whole, alone = make_runner(shared_root), make_runner(tmp_path)
    whole.compare()
    assert alone.compare() == whole.result()


def test_asking_whether_a_child_is_done_computes_nothing(tmp_path: Path, make_runner: MakeRunner) -> None:
    assert not make_runner(tmp_path).children.done(1)
    assert not any(tmp_path.iterdir())


# What goes wrong ---------------------------------------------------------------------------------------------------


def test_a_damaged_child_is_named_and_made_again(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path)
    runner.compare()
    good = tensors(runner, 2)
    damaged = runner.here / "child_2" / "model_4ep0it.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = make_runner(tmp_path, alphas=9)
    with pytest.raises(UsageError, match=r"child_2/model_4ep0it.safetensors is damaged"):
        again.compare()
    damaged.unlink()
    again.compare()
    assert equal(tensors(again, 2), good)


def test_a_child_of_another_mask_is_named(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path)
    runner.compare()
    mask = runner.mask()
    assert mask is not None
    Mask({name: ~kept for name, kept in mask.items()}).save(runner.here / "mask.safetensors")
    with pytest.raises(UsageError, match=r"child_1 was trained under another mask"):
        make_runner(tmp_path, alphas=9).compare()


def test_children_that_have_diverged_are_unstable_and_have_a_table(
    tmp_path: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    """Their pruned weights are 0 * inf, no trace of another mask."""
    training = replace(pruned.train.training, lr=1e30)
    runner = make_runner(tmp_path, replace(pruned, train=replace(pruned.train, training=training)), k="0ep")
    runner.trunk.context = runner.trunk.context = replace(runner.trunk.context, allow_divergence=True)
    runner.compare()
    result = runner.result()
    assert (result.learned, result.stable) == (False, False)
    assert result.pairs[0].l2 is None
    [row] = collect([runner.store]).analyses
    assert row["l2"] is None


def test_a_damaged_table_is_named(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path)
    runner.compare()
    (runner.here / "interpolation.csv").write_text("first_child,alpha\n1,x\n")
    with pytest.raises(UsageError, match=r"interpolation.csv is damaged"):
        make_runner(tmp_path, alphas=9).compare()


def test_k_beyond_the_end_is_refused(tmp_path: Path, make_runner: MakeRunner) -> None:
    with pytest.raises(UsageError, match=r"--k=21it: beyond --training_steps=4ep"):
        make_runner(tmp_path, k="21it")
    assert not any(tmp_path.iterdir())
