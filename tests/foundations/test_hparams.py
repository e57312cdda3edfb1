import math
from dataclasses import dataclass
from typing import ClassVar

import pytest

from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.hparams import Hparams, canonical, field_docs, hp, tagged
from foundations.registry import Registry
from foundations.steps import Step
from models import ModelHparams
from training.hparams import TrainDesc, TrainingHparams

shapes: Registry[type[Hparams]] = Registry("shape")


@shapes.register("circle")
@dataclass(frozen=True, kw_only=True)
class Circle(Hparams):
    name: ClassVar[str] = "circle"
    radius: float = hp(1.0, within="(0, 10]")
    """Radius
    in metres."""
    colour: str = hp("red", choices=("red", "blue"))
    until: Step = hp(Step("3"))
    marks: tuple[Step, ...] = hp(())
    limit: float | None = hp(None, within="[0, 1]")


@dataclass(frozen=True, kw_only=True)
class Drawing(Desc):
    kind: ClassVar[str] = "drawing"
    shape: Hparams = tagged(shapes)
    frame: Circle


@dataclass(frozen=True, kw_only=True)
class Sketch(Desc):
    kind: ClassVar[str] = "sketch"
    size: int = 1


@dataclass(frozen=True, kw_only=True)
class GrownSketch(Desc):
    kind: ClassVar[str] = "sketch"
    size: int = 1
    border: int = hp(0, absent=0)


def test_values_take_their_fields_type() -> None:
    circle = Circle(radius=2, until="5", marks=["1", "20it"])  # type: ignore[arg-type]
    assert (circle.radius, circle.until, circle.marks) == (2.0, "5ep0it", ("1ep0it", "0ep20it"))
    assert isinstance(circle.radius, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"radius": 0}, r"--radius=0.0: expected a number in \(0, 10\]"),
        ({"radius": math.nan}, "--radius=nan: expected a finite number"),
        ({"radius": "wide"}, "--radius=wide: expected a number"),
        ({"radius": True}, "--radius=True: expected a number"),
        ({"colour": "green"}, "--colour=green: expected one of red, blue"),
        ({"until": "10xp"}, "--until=10xp: '10xp' is not a step"),
        ({"limit": 2.0}, r"--limit=2.0: expected a number in \[0, 1\]"),
    ],
)
def test_a_bad_value_is_named_with_its_flag(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Circle(**values)  # type: ignore[arg-type]


def test_json_round_trip_keeps_the_class_of_a_tagged_field() -> None:
    drawing = Drawing(shape=Circle(radius=2.0, marks=(Step("1"),)), frame=Circle())
    assert drawing.to_dict()["shape"]["kind"] == "circle"
    assert Drawing.from_dict(drawing.to_dict()) == drawing


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(UsageError, match="height"):
        Circle.from_dict({"radius": 1.0, "height": 2.0})


def test_docstrings_below_fields_are_their_help() -> None:
    assert field_docs(Circle) == {"radius": "Radius in metres."}


def test_equal_hyperparameters_have_equal_keys() -> None:
    first = Drawing(shape=Circle(radius=2), frame=Circle(until=Step("3ep")))
    second = Drawing(shape=Circle(radius=2.0), frame=Circle(until=Step("3")))
    assert first.key == second.key
    assert first.key.startswith("drawing_")
    assert len(first.key) == len("drawing_") + 12


def test_any_difference_changes_the_key() -> None:
    base = Drawing(shape=Circle(), frame=Circle())
    others = [Drawing(shape=Circle(radius=2), frame=Circle()), Drawing(shape=Circle(), frame=Circle(radius=2))]
    assert len({base.key, *(other.key for other in others)}) == 3


def test_a_field_added_later_keeps_the_old_keys_at_its_absent_value() -> None:
    assert GrownSketch().key == Sketch().key
    assert GrownSketch(border=1).key != Sketch().key
    assert "border" not in canonical(GrownSketch())


@shapes.register("dot")
@dataclass(frozen=True, kw_only=True)
class Dot(Hparams):
    name: ClassVar[str] = "dot"
    size: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Inner(Hparams):
    size: int = 1
    rounded: bool = hp(True, absent=False)
    """New hyperparameters are rounded; before there was the field nothing was."""


@dataclass(frozen=True, kw_only=True)
class OldBoard(Desc):
    kind: ClassVar[str] = "board"
    inner: Inner


@dataclass(frozen=True, kw_only=True)
class Board(Desc):
    kind: ClassVar[str] = "board"
    inner: Inner
    spare: Inner | None = None
    label: str = hp("", absent="")
    cursor: Hparams = tagged(shapes, default=Dot(), absent=Dot(size=2.0))
    eraser: Hparams | None = tagged(shapes, default=None, absent=None)


def test_a_tagged_field_has_its_default_and_is_left_out_at_its_absent_value() -> None:
    board = Board(inner=Inner())
    assert (board.cursor, board.eraser) == (Dot(), None)
    assert "eraser" not in canonical(board)
    assert canonical(board)["cursor"] == {"kind": "dot", "size": 1.0}
    old = Board(inner=Inner(), spare=None, cursor=Dot(size=2.0))
    assert canonical(old) == canonical(OldBoard(inner=Inner())) | {"spare": None}


def test_a_missing_field_has_its_absent_value_also_in_bundles_within() -> None:
    board = Board.from_dict({"inner": {"size": 3}, "spare": {"size": 4}})
    assert board.cursor == Dot(size=2.0)
    assert board.inner == Inner(size=3, rounded=False)
    assert board.spare == Inner(size=4, rounded=False)
    assert Inner.from_dict({}) == Inner(size=1, rounded=False)
    assert Board.from_dict(board.to_dict()) == board


def test_a_tagged_bundle_is_filled_too() -> None:
    @shapes.register("pen")
    @dataclass(frozen=True, kw_only=True)
    class Pen(Hparams):
        name: ClassVar[str] = "pen"
        tip: str = hp("round", absent="flat")

    assert Board.from_dict({"inner": {}, "cursor": {"kind": "pen"}}).cursor == Pen(tip="flat")


def test_unknown_keys_are_refused_in_bundles_within() -> None:
    with pytest.raises(UsageError, match="height"):
        Board.from_dict({"inner": {"height": 1}})
    with pytest.raises(UsageError, match="height"):
        Board.from_dict({"inner": {}, "cursor": {"kind": "dot", "height": 1}})


def test_null_in_the_place_of_a_bundle_is_refused_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(UsageError, match="does not fit"):
        TrainDesc.from_dict({"model": None, "data": None, "training": None})
    assert not recwarn.list


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (TrainingHparams, "milestone_steps", ...),
        (TrainingHparams, "training_steps", 1.5),
        (ModelHparams, "model", "a\0"),
    ],
)
def test_a_value_of_another_type_is_refused(cls: type, field: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{field}="):
        cls(**{field: value})
