"""``report``: one HTML page of runs, with figures and tables as files beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_type_hints

from cli.command_line import plugins_in
from cli.flags import make_parser, parse_value
from experiments import stored
from experiments.defaults import Section, refuse_unknown
from experiments.directory import directories_from_environment
from experiments.options import SessionOptions
from experiments.plugins import load_plugins
from experiments.progress import make_reporter
from experiments.report.page.build import write_page
from experiments.report.palette import STYLES
from foundations.errors import UsageError
from foundations.hparams import Hparams, hp

USAGE = "python main.py report [RUN_DIR ...]"


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Hparams):
    """What the page is like."""

    output: str = hp("report.html")
    """The page; figures and tables go into a directory of the same name beside it."""
    style: str = hp("screen", choices=STYLES)
    """Of the figures; paper: widths of columns, serif fonts, no headings."""


OF_OTHERS = frozenset(item.name for item in fields(SessionOptions)) - {"root", "plugin"}


def run(argv: Sequence[str]) -> int:
    """Writes the page of the runs that are named, or of all below the root."""
    sections = [
        Section("report", ReportOptions),
        Section("session", SessionOptions, directories_from_environment(), OF_OTHERS),
    ]
    parser = make_parser(USAGE, "Write one HTML page of runs, by default of all below the root.", sections)
    given, rest = parser.parse_known_args(list(argv))
    texts = dict(vars(given))
    if texts.pop("help", False):
        print(parser.format_help())
        return 0
    for token in rest:
        if token.startswith("-"):
            known = [item.name for section in sections for item in section.items()]
            refuse_unknown(token.lstrip("-").partition("=")[0], known, {})
    load_plugins(plugins_in(argv), make_reporter(quiet=False))
    hints = get_type_hints(ReportOptions)
    options = ReportOptions(**{name: parse_value(name, texts[name], hints[name]) for name in hints if name in texts})
    root = Path(texts.get("root", sections[1].values()["root"]))
    runs = [stored.open(Path(path)) for path in rest] or stored.runs(root)
    if not runs:
        raise UsageError(f"--root={root}: no runs there; name their directories, or give another root")
    print(f"Report: {options.output}\nFigures and tables: {write_page(runs, Path(options.output), options.style)}")
    return 0
