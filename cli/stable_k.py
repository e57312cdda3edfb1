"""``lottery --k=auto``: the step is found by instability analyses first."""

from collections.abc import Callable, Sequence

from cli.lists import expand, without_flags
from cli.options import LotteryOptions
from cli.running import DataCache
from cli.stability_options import StabilityOptions
from cli.stability_results import print_stability_results, write_stability_report
from cli.stability_runs import AUTO, flags_of, requests
from foundations.errors import UsageError
from foundations.steps import Step
from lottery import LotteryDesc
from stability import AnalysisHparams

Describe = Callable[[Sequence[str]], tuple[LotteryDesc, Sequence[int]] | None]


def with_stable_k(argv: Sequence[str], describe: Describe) -> list[list[str]] | None:
    """The command lines to run instead of one with ``--k=auto``; ``argv`` itself without that.

    Each strategy and replicate has the k that is found for it. Flags of ``stability`` (``--threshold``, ``--max_k``)
    go to the search.

    Args:
        argv: the lottery command's, with lists.
        describe: the experiment and the levels of one run's command line; None if that only printed the help.

    Returns:
        None if one of them has no stable k: there is nothing to prune at.
    """
    singles = expand(argv)
    if not any(AUTO in single for single in singles):
        return [list(argv)]
    searching = flags_of(StabilityOptions, AnalysisHparams) - flags_of(LotteryOptions)
    ready: list[list[str]] = []
    for single in singles:
        plain = without_flags(single, searching)
        if AUTO in single:
            plain = without_flags(plain, {"k"})
            described = describe([*plain, "--k=0"])
            if described is None:
                return []
            k = find_k(single, *described)
            if k is None:
                return None
            plain.append(f"--k={k}")
        ready.append(plain)
    return ready


def find_k(single: Sequence[str], desc: LotteryDesc, levels: Sequence[int]) -> Step | None:
    """The smallest stable k for the subnetworks of a lottery run's last level; prints the analyses."""
    last = max(levels)
    if last == 0:
        raise UsageError("--k=auto: --levels=0 prunes nothing")
    fraction = desc.pruning.pruning_fraction if last == 1 else 1 - desc.density(last)
    foreign = flags_of(LotteryOptions) - flags_of(StabilityOptions)
    flags = without_flags(single, {*foreign, "k", "density", "pruning_fraction"})
    [request] = requests([*flags, f"--pruning_fraction={fraction!r}", AUTO], DataCache()) or []
    if request.run.display_output_location:
        raise UsageError("--k=auto: the run's directory depends on the k that is found; give that k")
    found, analyses = request.search()
    print_stability_results(analyses)
    if request.options.report:
        write_stability_report(analyses, request.context)
    return found
