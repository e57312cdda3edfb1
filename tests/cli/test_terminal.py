"""What the user sees, on a terminal and in a log."""

import io
from typing import Any

import pytest

from cli.terminal import print_table
from experiments.run.progress import PlainReporter, QuietReporter, RichReporter, make_reporter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("quiet", "stream", "kind"),
    [(False, Terminal(), RichReporter), (False, io.StringIO(), PlainReporter), (True, Terminal(), QuietReporter)],
)
def test_bars_are_for_terminals(quiet: bool, stream: Any, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    assert type(make_reporter(quiet)) is kind


def test_quiet_still_warns(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = QuietReporter()
    reporter.say("an epoch")
    reporter.warn("a layer is empty")
    assert capsys.readouterr() == ("", "a layer is empty\n")


def test_a_table_in_a_log_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "longer"], [["wide cell", "1"], ["x", "22"]])
    assert capsys.readouterr().out.splitlines() == ["a          longer", "wide cell  1", "x          22"]


def test_a_narrow_terminal_cuts_off_no_path_and_reads_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    path, stream = "/home/[bold]me/" + "runs/" * 20, Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    print_table(["replicate", "where"], [["1", path]])
    assert stream.getvalue().splitlines()[-1] == path
    assert "where" not in stream.getvalue()


def test_a_narrow_terminal_breaks_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", "80")
    headers = ["strategy", "k", "test barrier raw", "recalculated", "train barrier raw", "end accuracy", "gap to full"]
    print_table([*headers, "verdict"], [["adsynflow", "1ep", *["28.03%"] * 4, "+30.70 points", "unstable"]])
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert {"strategy", "recalculated", "accuracy", "adsynflow", "unstable", "28.03%"} <= set(" ".join(lines).split())


def test_progress_on_a_terminal_takes_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with RichReporter().progress("my[red]run", 3, "it") as advance:
        advance(2)
        advance(1)
    assert "my[red]run" in stream.getvalue()
    assert "3/3" in stream.getvalue()
