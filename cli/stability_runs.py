"""From a command line to instability analyses, and how several of them are computed at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cli.flags import Section
from cli.jobs import run_all
from cli.lists import LISTS, expand, without_flags
from cli.options import RunOptions
from cli.running import DataCache, Parsed, make_context, parse_run
from cli.selection import Selection
from cli.stability_options import StabilityOptions
from foundations.context import Context
from foundations.errors import UsageError
from foundations.hparams import Hparams
from foundations.steps import Step
from pruning import PruningHparams, strategies
from stability import AnalysisHparams, StabilityDesc, StabilityRunner
from stability.auto import find_stable_k
from stability.start import read_checkpoint

SUMMARY = "Train children from step k with different SGD noise and look at the line between them."
NONE, AUTO = "--pruning_strategy=none", "--k=auto"


def sections(selection: Selection) -> list[Section]:
    """The flags of this command; for the full network without those of pruning."""
    hidden = () if selection.strategy else ("density",)
    pruning = [selection.section("pruning", PruningHparams)] if selection.strategy else []
    return [
        *selection.shared_sections(),
        selection.section("stability", StabilityOptions, *hidden),
        selection.section("comparison", AnalysisHparams),
        *pruning,
        *selection.strategy_section(),
    ]


@dataclass(frozen=True)
class Request:
    """One analysis, or the search for a stable k, of one network and replicate."""

    argv: tuple[str, ...]
    """Its own command line, without lists."""
    auto: bool
    run: RunOptions
    options: StabilityOptions
    desc: StabilityDesc
    settings: AnalysisHparams
    checkpoint: Mapping[str, Tensor] | None
    context: Context
    cache: DataCache

    def runner(self, k: Step | None = None) -> StabilityRunner:
        """The analysis at ``k``, by default the one asked for."""
        k = k or self.options.k
        assert k is not None
        data = self.cache.get(self.desc.train.data, self.context)
        return StabilityRunner(self.desc, self.run.replicate, k, data, self.context, self.settings, self.checkpoint)

    def search(self) -> tuple[Step | None, list[StabilityRunner]]:
        """The smallest stable k, and the analyses it was found by."""
        if self.checkpoint is not None:
            raise UsageError("--k=auto: a --checkpoint is the network at one k; give that k")

        def analyse(runner: StabilityRunner) -> None:
            complete([(self, runner)])

        return find_stable_k(self.runner, analyse, self.options.max_k, self.context.reporter)


def requests(argv: Sequence[str], cache: DataCache) -> list[Request] | None:
    """One request for each combination of the lists in ``argv``; None if help was asked for and printed."""
    found: dict[tuple[Any, ...], Request] = {}
    singles = expand(argv, ("optimizer", *LISTS))
    for single in singles:
        several = any(NONE not in other for other in singles)
        plain = [token for token in single if token != AUTO]
        if NONE in plain:
            plain = without_pruning_flags(plain, quietly=several)
        parsed = parse_run("stability", SUMMARY, plain, sections, prunes=NONE not in plain)
        if parsed is None:
            return None
        request = describe(parsed, plain, AUTO in single, argv, cache)
        # A list of densities gives the full network several times.
        found.setdefault((request.desc.key, request.run.replicate, request.auto or request.options.k), request)
    return list(found.values())


def describe(parsed: Parsed, argv: Sequence[str], auto: bool, command: Sequence[str], cache: DataCache) -> Request:
    """The analysis that one run's flags describe."""
    run, options = parsed.build(RunOptions), parsed.build(StabilityOptions)
    settings, train = parsed.build(AnalysisHparams), parsed.train_desc()
    if options.child and options.child > settings.children:
        settings = replace(settings, children=options.child)
    if options.max_k is not None and not auto:
        raise UsageError(f"--max_k={options.max_k.short}: applies to --k=auto, which is not given")
    if not auto and options.k.certainly_after(train.training.training_steps):
        raise UsageError(f"--k={options.k.short}: beyond --training_steps={train.training.training_steps.short}")
    strategy = parsed.selection.strategy
    pruning = parsed.build(PruningHparams) if strategy else None
    if options.density is not None and pruning is not None:
        if "pruning_fraction" in parsed.values:
            raise UsageError("--density and --pruning_fraction say the same thing; give one of them")
        pruning = replace(pruning, pruning_fraction=1 - options.density)
    checkpoint, digest = read_checkpoint(Path(options.checkpoint)) if options.checkpoint else (None, "")
    desc = StabilityDesc(
        train=train,
        strategy=parsed.build(strategy) if strategy else None,
        pruning=pruning,
        reset_optimizer=options.reset_optimizer,
        perturb_hyperparameters=options.perturb_hyperparameters,
        checkpoint=digest,
    )
    context = make_context(run, ["stability", *command])
    return Request(tuple(argv), auto, run, options, desc, settings, checkpoint, context, cache)


def without_pruning_flags(argv: Sequence[str], quietly: bool) -> list[str]:
    """A command line for the full network.

    Args:
        argv: one run's.
        quietly: whether flags of pruning are dropped (they are meant for the other networks of a list) or refused.
    """
    flags = {"density", *flags_of(PruningHparams, *map(strategies.get, strategies))}
    rest = without_flags(argv, flags)
    if not quietly and len(rest) < len(argv):
        given = next(token for token in argv if token not in rest)
        raise UsageError(f"{given}: does not apply to {NONE}, which is the full network")
    return rest


def flags_of(*classes: type[Hparams]) -> set[str]:
    """The names of the flags that dataclasses have."""
    return {item.name for cls in classes for item in fields(cls)}


# Computing ---------------------------------------------------------------------------------------------------------


def complete(work: Sequence[tuple[Request, StabilityRunner]]) -> None:
    """Brings analyses to their end, in several processes where ``--jobs`` says so.

    The trunk is reached in ascending order of k, so that no step of it is computed twice.
    """
    todo = [(request, runner) for request, runner in work if not runner.done]
    for _, runner in sorted(todo, key=lambda pair: pair[1].trunk.iteration(pair[1].k)):
        runner.start.state_at(runner.k)
    jobs = max((request.run.jobs for request, _ in todo), default=1)
    if jobs > 1:
        in_processes(todo, jobs)
    by_processes = [runner for _, runner in todo if runner.done]
    for _, runner in work:
        if runner not in by_processes:
            runner.run()


def in_processes(work: Sequence[tuple[Request, StabilityRunner]], jobs: int) -> None:
    """Trains all missing children, then compares them, ``jobs`` processes at a time."""
    reporter = work[0][0].context.reporter
    for _, runner in work:
        runner.full_network()
        runner.mask()
    training = [
        command(request, runner, f"--child={number}")
        for request, runner in work
        for number in range(1, runner.settings.children + 1)
        if not runner.child_done(number)
    ]
    if training:
        run_all(training, jobs, "children", reporter)
    if len(work) > 1:
        run_all([command(request, runner) for request, runner in work], jobs, "comparisons", reporter)


def command(request: Request, runner: StabilityRunner, *more: str) -> list[str]:
    """The command line of a part of ``request``, for a process of its own; of flags given twice the last counts."""
    threads = f"--threads={torch.get_num_threads()}"
    return ["stability", *request.argv, f"--k={runner.k}", threads, "--jobs=1", "--report=false", *more]
