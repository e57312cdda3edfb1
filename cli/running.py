"""From parsed flags to a run: context, data, descriptors."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from cli.flags import Section, build, make_parser, parse
from cli.lists import LISTS, expand
from cli.options import RunOptions
from cli.selection import Selection, select
from cli.terminal import make_reporter
from foundations.context import Context
from foundations.errors import UsageError
from foundations.memory import keep_freed_memory
from models import ModelHparams
from training.data import DataHparams, DeviceData, load
from training.desc import TrainDesc
from training.hparams import TrainingHparams


@dataclass(frozen=True)
class Parsed:
    """One run's command line."""

    argv: Sequence[str]
    selection: Selection
    sections: Sequence[Section]
    values: Mapping[str, Any]

    def for_child(self) -> tuple[str, ...]:
        """The command line for a child of this process, which draws what there is to draw."""
        draws = any("report" in section.values() for section in self.sections)
        return (*self.argv, "--report=false") if draws else tuple(self.argv)

    def build(self, cls: type) -> Any:
        """An instance of the section's dataclass ``cls``."""
        return build(next(section for section in self.sections if section.cls is cls), self.values)

    def train_desc(self) -> TrainDesc:
        """The trunk that the run stands on."""
        return TrainDesc(
            model=self.build(ModelHparams), data=self.build(DataHparams), training=self.build(TrainingHparams)
        )


def parse_run(
    prog: str,
    summary: str,
    argv: Sequence[str],
    sections_of: Callable[[Selection], list[Section]],
    *,
    prunes: bool,
) -> Parsed | None:
    """Parses one run's command line in two passes; prints the help and returns None if that is asked for."""
    selection = select(argv, prunes=prunes, reporter=make_reporter(quiet=False))
    sections = sections_of(selection)
    parser = make_parser(f"python main.py {prog}", summary, sections)
    if "--help" in argv or "-h" in argv:
        print(parser.format_help())
        return None
    return Parsed(argv, selection, sections, parse(parser, sections, argv, selection.inapplicable()))


def parse_runs(
    prog: str,
    summary: str,
    argv: Sequence[str],
    sections_of: Callable[[Selection], list[Section]],
    *,
    prunes: bool,
    lists: Sequence[str] = LISTS,
) -> list[Parsed]:
    """Parses the command lines of all runs that ``argv`` lists; prints the help and has none if that is asked for."""
    runs = []
    for single in expand(argv, lists):
        parsed = parse_run(prog, summary, single, sections_of, prunes=prunes)
        if parsed is None:
            return []
        runs.append(parsed)
    return runs


def make_context(options: RunOptions, command: Sequence[str]) -> Context:
    """The context that the flags describe; sets the threads and the memory of this process up."""
    keep_freed_memory()
    threads = threads_of(options)
    if threads is not None:
        torch.set_num_threads(threads)
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return Context(
        root=Path(options.root),
        data_dir=Path(options.data_dir),
        device=find_device(options.device),
        deterministic=options.deterministic,
        reporter=make_reporter(options.quiet),
        command=tuple(command),
    )


def threads_of(options: RunOptions) -> int | None:
    """The threads of each process: those asked for; with several processes a share of PyTorch's default, else None."""
    every = default_threads()  # asked for in any case: the first answer counts
    if options.threads is None and options.jobs > 1:
        return max(1, every // options.jobs)
    return options.threads


@cache
def default_threads() -> int:
    """PyTorch's number of threads before a command has set another."""
    return torch.get_num_threads()


def find_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is CUDA where there is one, then Apple's, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device={name}: not available here; valid: auto, cpu, cuda, cuda:<n>, mps") from error
    return device


@dataclass
class DataCache:
    """Data sets in use, so that the runs of one command read theirs once."""

    _loaded: dict[tuple[str, str, torch.device], DeviceData] = field(default_factory=dict)

    def get(self, hparams: DataHparams, context: Context) -> DeviceData:
        """The data set on the context's device."""
        key = (str(hparams), str(context.data_dir), context.device)
        if key not in self._loaded:
            self._loaded[key] = DeviceData(load(hparams, context.data_dir, context.reporter), hparams, context.device)
        return self._loaded[key]
