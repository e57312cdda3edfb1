"""Input of every kind: it succeeds, or is refused in a few lines with exit code 2; nothing is ever written.

    python -m tests.reliability.fuzz --cases=10000

tries so many inputs, a quarter of them command lines, keywords of the Python API, JSON and files, and prints what came
of them; ``--seed=1`` tries others. A case that fails is shrunk to a small one and printed.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cli import main
from cli.config import read_desc, read_toml
from experiments.run.engines import Failed
from experiments.run.tasks import from_json
from experiments.runs.stored import runs
from experiments.runs.verify import check
from foundations.errors import UsageError
from foundations.formats import decode_json, decode_rows, decode_table
from foundations.reporting import Reporter
from foundations.store import UNREADABLE
from lottery import LotteryDesc
from stability import StabilityDesc
from tests.reliability import inputs
from training.data import DataHparams, load
from training.hparams import TrainDesc
from training.imported import read_checkpoint

STORED = Path(__file__).parents[1] / "stored_runs" / "format_2"
LONGEST, MOST_LINES = 2500, 14
NETWORK = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
PLUGINS = {
    "good.py": "from lottery.branch import branches\nfrom training.schedules import schedules\n"
    "schedules.register('mine')(lambda hparams, iteration, per_epoch: 1.0)\n",
    "ends.py": "import sys\nsys.exit(3)\n",
    "empty.py": "x = 1\n",
}


class Place:
    """A directory of its own in which the working directory, stored runs, plug-ins and data lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copytree(STORED, path / "runs")
        for name, text in PLUGINS.items():
            (path / name).write_text(text)
        save_file(NETWORK, path / "checkpoint.safetensors")
        (path / "junk.pt").write_bytes(b"junk")
        self.scratch = path / "data" / "scratch"
        self.scratch.mkdir(parents=True)
        self.before = self.listing()

    def assert_untouched(self) -> None:
        """Raises ``AssertionError`` with what was written or removed since the last look."""
        before, self.before = self.before, self.listing()
        touched = {name for name, _ in before.items() ^ self.before.items()}
        assert not touched, f"written or removed: {sorted(touched)}"

    def listing(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file that a command might have written, and the directories."""
        found: dict[str, tuple[int, int]] = {}
        for directory, _, names in os.walk(self.path):
            if directory.startswith(str(self.scratch)) or directory.endswith("__pycache__"):
                continue
            found[directory] = (0, 0)  # its time also changes by what was there for a moment
            for name in names:
                status = Path(directory, name).stat()
                found[f"{directory}/{name}"] = (status.st_size, status.st_mtime_ns)
        return found

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, it is the working directory, and there is no network."""
        offline = mock.Mock(side_effect=urllib.error.URLError("no network"))
        with contextlib.chdir(self.path), mock.patch.object(urllib.request, "urlopen", offline):
            yield


def refused(call: Callable[[], object]) -> str:
    """``"accepted"`` or ``"refused"``; any exception but ``UsageError`` and ``OSError`` is the case's failure."""
    try:
        call()
    except (UsageError, OSError) as error:
        assert_short(str(error))
        return "refused"
    return "accepted"


def assert_short(text: str) -> None:
    """Raises ``AssertionError`` if a refusal is not a few lines, or is a traceback."""
    assert text.strip(), "refused without a word"
    assert "Traceback" not in text, text
    assert len(text) <= LONGEST, f"{len(text)} characters: {text[:1000]}"
    assert len(text.splitlines()) <= MOST_LINES, text[:1000]


# The kinds of input, each with what is done with it ------------------------------------------------------------------


def try_command_line(place: Place, argv: list[str]) -> str:
    """Runs a command line; what came of it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    assert code in (0, 2), f"exit code {code}: {err.getvalue()[-3000:]}"
    if code == 2:
        assert_short(err.getvalue())
    place.assert_untouched()
    return "accepted" if code == 0 else "refused"


def try_keywords(place: Place, case: Any) -> str:
    """Defines experiments by keywords."""
    with contextlib.redirect_stderr(io.StringIO()):
        outcome = refused(lambda: inputs.define("runs", case))
    place.assert_untouched()
    return outcome


def try_training(place: Place, case: Any) -> str:
    """Defines experiments by keywords and computes them; whatever fails is for the user to correct, or diverged."""
    root = place.scratch / "runs"

    def train() -> None:
        try:
            inputs.define(str(root), case).run()
        except Failed as failed:
            defects = [failure for failure in failed.failures if not failure.refused]
            raise (RuntimeError if defects else UsageError)(str(failed)) from failed

    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = refused(train)
    wrong = [f"{finding.path}: {finding.what}" for run in runs(root) for finding in check(run) if finding.wrong]
    assert not wrong, wrong
    shutil.rmtree(root, ignore_errors=True)
    place.assert_untouched()
    return outcome


def readers(place: Place) -> dict[str, tuple[Callable[[Any], object], Any]]:
    """Readers of JSON values, each with a value that it accepts."""
    descs = {
        name: descriptor(next(place.path.glob(f"runs/{name}_*/replicate_1/desc.json")))
        for name in ("train", "lottery", "stability")
    }
    for desc in descs.values():
        del desc["kind"]
    task = {"task": "trunk", "desc": descs["train"], "replicate": 1, "to": "1ep0it"}
    return {
        "train": (TrainDesc.from_dict, descs["train"]),
        "lottery": (LotteryDesc.from_dict, descs["lottery"]),
        "stability": (StabilityDesc.from_dict, descs["stability"]),
        "task": (lambda entries: from_json(json.dumps(entries)), task),
    }


def descriptor(path: Path) -> dict[str, Any]:
    """Return a run's descriptor as somebody would write it, without its format and checksum."""
    return decode_json(path, path.read_bytes())


def json_cases(place: Place) -> "st.SearchStrategy[Any]":
    """A reader's name and a value that is nearly what it accepts."""
    return st.one_of([
        inputs.changed(value).map(lambda entries, name=name: (name, entries))
        for name, (_, value) in readers(place).items()
    ])  # fmt: skip


def try_json(place: Place, case: tuple[str, Any]) -> str:
    """Reads a descriptor or a task."""
    name, entries = case
    return refused(lambda: readers(place)[name][0](entries))


def file_cases(place: Place) -> "st.SearchStrategy[Any]":
    """What kind of file, and its bytes."""
    metrics = next(place.path.glob("runs/train_*/replicate_1/metrics.jsonl")).read_bytes()
    table = next(place.path.glob("runs/stability_*/replicate_1/k_*/interpolation.csv")).read_bytes()
    desc = descriptor(next(place.path.glob("runs/lottery_*/replicate_1/desc.json")))
    return st.one_of(
        st.tuples(st.just("checkpoint"), inputs.checkpoints(NETWORK)),
        st.tuples(st.just("image"), inputs.damaged(b"P5\n2 2\n255\n" + bytes(4))),
        st.tuples(st.just("metrics.jsonl"), inputs.damaged(metrics)),
        st.tuples(st.just("interpolation.csv"), inputs.damaged(table)),
        st.tuples(st.just("flags.toml"), inputs.damaged(b'lr = [0.1, 1e-3]\nk = "3ep"\n[lottery]\nquiet = true\n')),
        st.tuples(st.just("flags.json"), inputs.changed(desc).map(lambda value: json.dumps(value).encode())),
        st.tuples(st.just("done.json"), inputs.json_values.map(lambda value: json.dumps(value).encode())),
    )


def try_file(place: Place, case: tuple[str, bytes]) -> str:
    """Has a loader read a file."""
    kind, content = case
    path = place.scratch / "file.safetensors"
    if kind == "checkpoint":
        path.write_bytes(content)
        return refused(lambda: read_checkpoint(path))
    if kind.startswith("flags"):
        path.write_bytes(content)
        if kind.endswith(".json"):
            return refused(lambda: read_desc(str(path), "lottery"))
        return refused(lambda: read_toml(str(path), "lottery", ()))
    if kind == "image":
        return refused(lambda: load_images(place.scratch, content))
    decode = {"metrics.jsonl": decode_rows, "interpolation.csv": decode_table, "done.json": decode_json}[kind]
    try:
        decode(Path(kind), content)
    except (UsageError, *UNREADABLE):  # of which the store makes refusals
        return "refused"
    return "accepted"


def load_images(data_dir: Path, image: bytes) -> None:
    """Loads an image folder of one class with this image in both of its splits."""
    shutil.rmtree(data_dir)
    for split in ("train", "test"):
        (data_dir / "mine" / split / "cat").mkdir(parents=True)
        (data_dir / "mine" / split / "cat" / "1.pgm").write_bytes(image)
    load(DataHparams(dataset="image_folder:mine"), data_dir, Reporter())


Kind = tuple[Callable[[Place], "st.SearchStrategy[Any]"], Callable[[Place, Any], str]]
KINDS: dict[str, Kind] = {
    "command lines": (lambda place: inputs.command_lines("runs"), try_command_line),
    "keywords": (lambda place: inputs.keywords(), try_keywords),
    "trainings": (lambda place: inputs.trainings(), try_training),
    "JSON": (json_cases, try_json),
    "files": (file_cases, try_file),
}


def fuzz(kind: str, cases: int, place: Place, number: int = 0) -> Counter[str]:
    """Tries so many inputs of a kind; how many were accepted and refused. The first that fails is raised."""
    make, attempt = KINDS[kind]
    outcomes: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=cases, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(make(place))
    def run(case: Any) -> None:
        outcomes[attempt(place, case)] += 1

    with place.entered():
        run()
    return outcomes


def command() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = options.kind or list(KINDS)
    for kind in kinds:
        with tempfile.TemporaryDirectory() as directory:
            outcomes = fuzz(kind, -(-options.cases // len(kinds)), Place(Path(directory)), options.seed)
        print(f"{kind}: {dict(outcomes)}", flush=True)


if __name__ == "__main__":
    sys.exit(command())
