"""``verify``: is what lies on disk as it was written?"""

from dataclasses import dataclass

from cli import FAILED
from cli.reading import ANY, Given, PluginOptions, RootOptions, command
from cli.terminal import say
from experiments.runs.stored import runs_at
from experiments.runs.verify import Finding, check, checked_files, repair
from foundations.hparams import hp


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(PluginOptions, RootOptions):
    """Where to look, and whether to repair."""

    repair: bool = hp(False)
    """Put aside (rename; nothing is deleted) what the same command then recomputes."""


@command(VerifyOptions, "[RUN_DIR ...]", ANY)
def run(given: Given[VerifyOptions]) -> int:
    """Read every file of the runs in the given directories (<root>/<kind>_<hash>, or a replicate in it), of all
    runs below the root without any: checksums, whose file it is, what it holds, and that what a finished part
    consists of is there. List what is wrong, with what to do about it; exit code 1 if something is.
    """
    wrong = files = 0
    runs = runs_at(given.operands, given.options.root)
    for one in runs:
        findings = check(one)
        files += len(checked_files(one))
        wrong += sum(finding.wrong for finding in findings)
        say(*map(text_of, findings))
        if given.options.repair and any(finding.replaceable for finding in findings):
            for place in repair(one, findings, given.reporter):
                say(f"put aside: {place}")
    print(f"{len(runs)} runs, {files} files: {'nothing is wrong' if not wrong else f'{wrong} are wrong'}")
    return FAILED if wrong else 0


def text_of(finding: Finding) -> str:
    return f"{'' if finding.wrong else 'note: '}{finding.path} {finding.what}. {finding.advice}".rstrip()
