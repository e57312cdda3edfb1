"""The plane through three networks: its geometry by hand, and what an analysis writes of it."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from foundations import files
from foundations.errors import UsageError
from stability import AnalysisAtK, AnalysisHparams, StabilityDesc
from stability.plane import Landmark, Plane, PlanePoint
from stability.rows import read_table

MakeRunner = Callable[..., AnalysisAtK]


def network(*weights: float) -> nn.Module:
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([weights], dtype=torch.float32)
    return model


def plane_through(*weights: tuple[float, float]) -> Plane:
    start, first, second = (network(*some) for some in weights)
    return Plane(copy.deepcopy(start), start.state_dict(), first.state_dict(), second.state_dict(), ["weight"])


def test_coordinates_are_distances_of_weights() -> None:
    """From (1, 1): the first child is 4 away, the second 2 along that way and 3 across it."""
    plane = plane_through((1, 1), (5, 1), (3, 4))
    assert (plane.width, plane.along, plane.height) == (4, 2, 3)
    assert plane.go_to(0, 0).weight.tolist() == [[1, 1]]
    assert plane.go_to(4, 0).weight.tolist() == [[5, 1]]
    assert plane.go_to(2, 3).weight.tolist() == [[3, 4]]
    assert plane.go_to(-1, 2).weight.tolist() == [pytest.approx([0, 3], abs=1e-6)]
    assert plane.coordinates({"weight": torch.tensor([[0.0, 3.0]])}) == pytest.approx((-1, 2, 0))


def test_what_lies_above_the_plane_is_projected() -> None:
    tensors = [{"w": torch.tensor(some)} for some in ([0.0, 0, 0], [1.0, 0, 0], [0.0, 2, 0], [0.5, 1, 7])]
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(3))
    plane = Plane(model, *tensors[:3], ["w"])
    assert plane.coordinates(tensors[3]) == (0.5, 1, 7)


def test_the_grid_reaches_beyond_the_three() -> None:
    grid = plane_through((1, 1), (5, 1), (3, 5)).grid(3)
    assert [x for x, _ in grid[:3]] == [-1, 2, 5]  # a quarter of 4 on both sides
    assert [y for _, y in grid[::3]] == [-1, 2, 5]


def test_three_networks_on_a_line_span_no_plane() -> None:
    assert plane_through((0, 0), (1, 1), (1, 2)).spanned
    assert not plane_through((0, 0), (1, 1), (2, 2)).spanned
    assert not plane_through((0, 0), (0, 0), (2, 2)).spanned
    assert not plane_through((0, 0), (float("nan"), 0), (2, 2)).spanned


def test_a_side_of_one_point_is_refused() -> None:
    with pytest.raises(UsageError, match="--plane=1: expected 0 or at least 2"):
        AnalysisHparams(plane=1)


# In an analysis ------------------------------------------------------------------------------------------------------


def test_an_analysis_measures_its_plane(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path, plane=3)
    runner.compare()
    assert runner.done
    points = read_table(runner.here, files.PLANE, PlanePoint)
    assert len(points) == 3 * 3 * 2
    places = {place.place: place for place in read_table(runner.here, files.PLANE_PLACES, Landmark)}
    assert list(places) == ["start", "child 1", "child 2", "trunk"]
    assert (places["start"].x, places["start"].y, places["child 1"].y) == (0, 0, pytest.approx(0, abs=1e-9))
    [pair] = runner.result().pairs
    ends = places["child 1"], places["child 2"]
    apart = ((ends[0].x - ends[1].x) ** 2 + (ends[0].y - ends[1].y) ** 2) ** 0.5
    assert apart == pytest.approx(pair.l2)
    assert ends[0].x == pytest.approx(runner.result().children[0].l2_from_start)
    trunk = [place for place in read_table(runner.here, files.PLANE_PLACES, Landmark) if place.place == "trunk"]
    assert [place.step for place in trunk] == ["0ep", "1ep", "2ep", "3ep", "4ep"]
    assert trunk[1].distance == 0  # k: masked, it is the start
    assert not make_runner(tmp_path).done
    (runner.here / files.PLANE).unlink()
    assert not runner.done


def test_what_was_measured_is_not_measured_again(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(tmp_path, plane=3)
    runner.compare()
    before = (runner.here / files.PLANE).read_bytes()
    monkeypatch.setattr(Plane, "go_to", lambda *_: pytest.fail("measured again"))
    again = make_runner(tmp_path, plane=3, threshold=0.5)
    again.compare()
    assert (again.here / files.PLANE).read_bytes() == before


def test_children_that_never_left_the_start_span_no_plane(
    tmp_path: Path, make_runner: MakeRunner, full: StabilityDesc, listener
) -> None:
    runner = make_runner(tmp_path, full, k="4ep", plane=3)
    runner.compare()
    assert runner.done
    assert read_table(runner.here, files.PLANE, PlanePoint) == []
    assert "not on a plane" in listener.warned[-1]
