"""``clean``: what no run needs any more."""

from dataclasses import dataclass
from pathlib import Path

from cli.reading import Given, PluginOptions, RootOptions, command
from cli.terminal import aligned, say, size_text
from foundations.hparams import hp


@dataclass(frozen=True, kw_only=True)
class CleanOptions(PluginOptions, RootOptions):
    """Where to clean, and whether to remove anything."""

    yes: bool = hp(False)
    """Remove what is listed."""


@command(CleanOptions)
def run(given: Given[CleanOptions]) -> int:
    """List what no run needs any more: checkpoints of finished trainings, trunks that no run needs, temporary
    files of killed processes, and directories that were put aside. --yes removes it. Whatever a process works in
    is left alone. A command that was done stays done; other values of k, levels and strategies start from what is
    kept.
    """
    from experiments.runs.clean import free, remove, superfluous  # which needs PyTorch; the help does not

    options, reporter = given.options, given.reporter
    found = [one for one in superfluous(Path(options.root), reporter) if free(one)]
    if not found:
        say(f"Nothing below {options.root} is superfluous.")
        return 0
    cells = [[one.why, size_text(one.size), str(one.path)] for one in found]
    say(*aligned(["what", "size", "where"], cells))
    if not options.yes:
        print(f"{size_text(sum(one.size for one in found))} in all. Nothing was removed; --yes does it.")
        return 0
    removed = [one for one in found if remove(one)]
    print(f"{size_text(sum(one.size for one in removed))} removed.")
    for one in found:
        if one not in removed:
            reporter.warn(f"{one.path} was left alone: a process works there now")
    return 0
