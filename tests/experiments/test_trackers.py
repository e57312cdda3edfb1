"""What trackers are given, and what they make of it."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from experiments.run.trackers import TrackedRun, Tracker, TrackingReporter, trackers
from experiments.session import Session
from foundations.reporting import Left, RowAdded
from foundations.store import Store
from tests.conftest import Listener
from tests.experiments.conftest import TINY

PLUGIN = '''
import json
from experiments.run.trackers import Tracker, trackers

@trackers.register("lines")
class Lines(Tracker):
    "A line of JSON for everything that it hears."

    def write(self, **what):
        path = self.run.directory("lines")
        path.mkdir(parents=True, exist_ok=True)
        with (path / "heard").open("a") as file:
            file.write(json.dumps(what) + "\\n")

    def __init__(self, run):
        super().__init__(run)
        self.write(begun=dict(run.hyperparameters))

    def row(self, row):
        self.write(row=dict(row))

    def finish(self, figures):
        self.write(figures=dict(figures))

    def close(self):
        self.write(closed=True)
'''


class Heard(Tracker):
    """Remembers what it is given, for all of its kind."""

    lines: list[tuple[str, str, Any]]

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        self.lines.append((run.name, "begun", dict(run.hyperparameters)))

    def row(self, row: Mapping[str, Any]) -> None:
        self.lines.append((self.run.name, "row", dict(row)))

    def finish(self, figures: Mapping[str, float]) -> None:
        self.lines.append((self.run.name, "figures", dict(figures)))

    def close(self) -> None:
        self.lines.append((self.run.name, "closed", None))


@pytest.fixture
def heard() -> list[tuple[str, str, Any]]:
    """What a tracker called ``heard`` is given."""
    Heard.lines = []
    trackers.register("heard")(Heard)
    return Heard.lines


def rows_of(path: Path) -> list[dict[str, Any]]:
    return Store(path).read_rows("metrics.jsonl")


def test_each_training_is_given_as_it_is_stored(tmp_path: Path, heard: list[Any], listener: Listener) -> None:
    session = Session(tmp_path, threads=1, reporter=listener, track="heard")
    [ticket] = session.lottery(**TINY, k="1ep").run()
    level = ticket.store.path / "level_1"
    of_level = [(what, value) for name, what, value in heard if name == str(level.relative_to(tmp_path))]
    assert [what for what, _ in of_level] == ["begun", "row", "row", "figures", "closed"]
    (_, hyperparameters), *rows, (_, figures), _ = of_level
    assert [row for _, row in rows] == rows_of(level)
    assert (hyperparameters["lr"], hyperparameters["pruning_strategy"], hyperparameters["replicate"]) == (
        ticket.desc.train.training.lr, "adsynflow", 1,  # type: ignore[attr-defined]
    )  # fmt: skip
    done = json.loads((level / "done.json").read_text())
    assert figures["test_accuracy"] == done["test_accuracy"]
    trunk = [what for name, what, _ in heard if name.startswith("train_")]
    assert trunk.count("row") == 2  # to k = 1 epoch and not further: at initialization, and after the epoch


def test_a_training_that_goes_on_is_given_all_of_its_rows(root: Path, heard: list[Any]) -> None:
    [level] = root.glob("lottery_*/replicate_1/level_1")
    tracking = TrackingReporter(["heard"], root, lambda text: None)
    tracking.hear(RowAdded(level, {}))
    tracking.hear(RowAdded(level, {}))  # nothing was added since
    assert [value for _, what, value in heard if what == "row"] == rows_of(level)


def test_an_analysis_ends_with_its_verdict(root: Path, heard: list[Any]) -> None:
    [analysis] = root.glob("stability_*/replicate_1/k_*")
    TrackingReporter(["heard"], root, lambda text: None).hear(Left(analysis))
    [figures] = [value for _, what, value in heard if what == "figures"]
    verdict = json.loads((analysis / "instability.json").read_text())
    assert figures["error_barrier/test/raw"] == verdict["error_barrier"]["test"]["raw"]


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(tmp_path: Path, listener: Listener) -> None:
    @trackers.register("broken")
    class Broken(Tracker):
        def row(self, row: Mapping[str, Any]) -> None:
            raise ConnectionError("the network is away")

    [run] = Session(tmp_path, threads=1, reporter=listener, track="broken").train(**TINY).run()
    assert run.done
    assert listener.warned == ["The tracker Broken failed and is left out: ConnectionError: the network is away"]


def test_tensorboard_shows_what_is_stored(root: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    [level] = root.glob("lottery_*/replicate_1/level_1")
    for _ in range(2):  # the second time it is rewritten
        tracking = TrackingReporter(["tensorboard"], root, pytest.fail)
        tracking.hear(RowAdded(level, {}))
        tracking.hear(Left(level))
    written = root / "tracked" / "tensorboard" / level.relative_to(root)
    events = event_accumulator.EventAccumulator(str(written))
    events.Reload()
    for name in ("test_loss", "test_accuracy", "batch_loss"):
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        stored = [(row["iteration"], row[name]) for row in rows_of(level) if name in row]
        assert shown == [(step, pytest.approx(value)) for step, value in stored]
    result = json.loads((level / "done.json").read_text())
    assert events.Scalars("final/test_accuracy")[-1].value == pytest.approx(result["test_accuracy"])
    [text] = events.Tensors("hyperparameters/text_summary")
    assert b"| pruning_strategy | adsynflow |" in text.tensor_proto.string_val[0]


def logged(file: Path) -> Iterator[bytes]:
    """The records of a file of wandb's, a log like LevelDB's: blocks of 32 KiB, in them pieces of records.

    A piece has a header of checksum (4 bytes), length (2) and kind (1): whole, first, middle, last.
    """
    content, at, record = file.read_bytes(), 7, b""  # behind the file's own header
    while at < len(content):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def test_wandb_offline_writes_what_is_stored(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read back from the file that ``wandb sync`` would upload."""
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    for variable in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("WANDB_MODE", "offline")
    [level] = root.glob("lottery_*/replicate_1/level_1")
    tracking = TrackingReporter(["wandb"], root, pytest.fail)
    tracking.hear(RowAdded(level, {}))
    tracking.hear(Left(level))

    [file] = (root / "tracked" / "wandb").rglob("*.wandb")
    records = [protocol.Record.FromString(content) for content in logged(file)]

    def plain(items: Any) -> dict[str, Any]:
        return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}

    history = [plain(record.history.item) for record in records if record.HasField("history")]
    assert [{name: shown.get(name) for name in row} for shown, row in zip(history, rows_of(level), strict=True)] == (
        rows_of(level)
    )
    [config] = [plain(record.run.config.update) for record in records if record.HasField("run")]
    assert (config["pruning_strategy"], config["replicate"]) == ("adsynflow", 1)
    summary = plain(item for record in records for item in record.summary.update)
    assert summary["final/test_accuracy"] == json.loads((level / "done.json").read_text())["test_accuracy"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--track=tensorbord",), "--track=tensorbord: unknown tracker (did you mean 'tensorboard'?); valid: "),
        (("--track=wandb",), "--track=wandb: wandb is not installed; pip install 'adsynflow[wandb]'"),
    ],
)
def test_what_cannot_track_is_refused_before_anything_is_written(
    flags: tuple[str, ...], words: str, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.run.trackers.find_spec", lambda name: None)
    outcome = command("train", "--dataset=digits", f"--root={tmp_path / 'runs'}", *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert not (tmp_path / "runs").exists()


def test_runs_in_other_processes_are_tracked_by_a_plugin(tmp_path: Path, listener: Listener) -> None:
    (tmp_path / "lines_tracker.py").write_text(PLUGIN)
    session = Session(
        tmp_path / "runs", threads=1, jobs=2, reporter=listener, plugin=str(tmp_path / "lines_tracker.py"),
        track=["lines"],
    )  # fmt: skip
    grid = session.train(**TINY, replicate=[1, 2]).run()
    for run in grid:
        [file] = (tmp_path / "runs" / "tracked" / "lines").glob(f"*/{run.store.path.name}/heard")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [next(iter(line)) for line in lines] == ["begun", "row", "row", "row", "figures", "closed"]
        assert [line["row"] for line in lines[1:4]] == rows_of(run.store.path)
