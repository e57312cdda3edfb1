"""What a notebook shows of sessions, grids, experiments and stored runs; showing reads no data set and never fails."""

from pathlib import Path

import pytest

from adsynflow import Reporter, Session, Step, open_run
from experiments import workspace

SMALL = {"dataset": "digits", "model": "mnist_lenet_16", "training_steps": "1ep"}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(root=tmp_path, data_dir="data", device="cpu", threads=1, reporter=Reporter())


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a data set was read")

    monkeypatch.setattr(workspace, "open_data", refuse)


def test_a_session_shows_where(session: Session) -> None:
    assert repr(session) == f"<Session: root={session.context.root}, data_dir=data, device=cpu>"


@pytest.mark.usefixtures("no_data")
def test_what_is_only_defined_is_shown_without_reading_data(session: Session) -> None:
    tickets = session.lottery(**SMALL, k=0, pruning_strategy=["snip", "synflow"], replicate=[1, 2, 3])
    assert repr(tickets) == "<Grid of 6 lottery experiments>"
    assert repr(tickets[1]) == f"<Lottery: snip, k=0ep, replicate 2, {tickets[1].desc.key}>"
    assert repr(session.train(**SMALL)) == "<Grid of 1 train experiment>"
    assert repr(session.stability(**SMALL, k="5it")) == "<Grid of 1 stability experiment>"


@pytest.mark.usefixtures("no_data")
def test_a_k_that_is_to_be_found_is_shown_as_such(session: Session) -> None:
    grid = session.lottery(**SMALL, k=["auto", 0], pruning_strategy=["snip", "synflow"])
    assert repr(grid) == "<Grid of 4 lottery experiments, k to be found for 2>"
    assert repr(grid.searches[0]) == "<Search: k=auto, still to be run>"
    assert len(grid) == 4


def test_what_is_done_is_counted(session: Session) -> None:
    trainings = session.train(**SMALL, replicate=[1, 2])
    session.train(**SMALL, replicate=2).run()
    assert repr(trainings) == "<Grid of 2 train experiments, 1 done>"
    assert repr(trainings[1]).endswith(", done>")
    assert not repr(trainings[0]).endswith(", done>")


def test_an_experiment_that_cannot_be_computed_is_shown_all_the_same(session: Session) -> None:
    trainings = session.train(**SMALL, to=Step("1ep")).run()
    beyond = session.stability(**SMALL, k=Step("900it"), pruning_strategy="none")  # an epoch has fewer
    assert trainings.done
    assert repr(beyond[0]).startswith("<Stability: none, k=900it, replicate 1, stability_")


def test_a_stored_run_shows_kind_and_state(session: Session) -> None:
    [training] = session.train(**SMALL).run()
    run = open_run(training.store.path)
    assert repr(run) == f"<StoredRun: train, done, {run.path}>"
    (run.path / "done.json").unlink()
    (run.path / "metrics.jsonl").write_bytes(b"{\n")
    assert repr(run) == f"<StoredRun: train, damaged, {run.path}>"


def test_a_grid_is_a_sequence(session: Session) -> None:
    grid = session.lottery(**SMALL, k=0, pruning_strategy="snip", replicate=range(1, 5))
    assert len(grid) == 4
    assert [one.replicate for one in grid] == [1, 2, 3, 4]
    assert [one.replicate for one in grid[1:3]] == [2, 3]
    assert grid[-1].replicate == 4
    with pytest.raises(IndexError):
        grid[4]


def test_a_grid_has_as_many_experiments_as_its_search_made(session: Session) -> None:
    grid = session.stability(
        **{**SMALL, "training_steps": "3ep"}, k="auto", max_k=2, alphas=3, threshold=1e-9, pruning_strategy="none"
    )
    assert len(grid) == 1
    grid.run()
    assert len(grid) > 1
    assert len(grid) == len(list(grid)) == len(grid.searches[0].analyses)
