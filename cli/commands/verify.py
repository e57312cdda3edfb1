"""``verify``: is what lies on disk as it was written?"""

from collections.abc import Sequence
from pathlib import Path

from cli import FAILED
from cli.command_line import read_session
from experiments.integrity import Finding, check, checked_files, repair, runs_at

USAGE = """usage: python main.py verify [RUN_DIR ...] [--repair] [--root=DIRECTORY]

Reads every file of the runs in the given directories (<root>/<kind>_<hash>, or a replicate in it), of all runs below
the root without any: checksums, whose file it is, what it holds, and that what a finished part consists of is there.
Lists what is wrong, with what to do about it; exit code 1 if something is.

--repair puts aside (renames, deletes nothing) what the same command then computes anew."""
REPAIR = "--repair"


def run(argv: Sequence[str]) -> int:
    """Lists what is wrong; 1 if something is."""
    if {"-h", "--help"} & set(argv):
        print(USAGE)
        return 0
    session = read_session([token for token in argv if token.startswith("--") and token != REPAIR])
    places = [Path(token) for token in argv if not token.startswith("--")]
    wrong = files = 0
    runs = runs_at(places, session.context.root)
    for one in runs:
        findings = check(one)
        files += len(checked_files(one))
        wrong += sum(finding.wrong for finding in findings)
        print(*map(line, findings), sep="\n", end="\n" * bool(findings))
        if REPAIR in argv and any(finding.replaceable for finding in findings):
            for place in repair(one, findings, session.context.reporter):
                print(f"put aside: {place}")
    print(f"{len(runs)} runs, {files} files: {'nothing is wrong' if not wrong else f'{wrong} are wrong'}")
    return FAILED if wrong else 0


def line(finding: Finding) -> str:
    """What is printed of a finding."""
    return f"{'' if finding.wrong else 'note: '}{finding.path} {finding.what}. {finding.advice}".rstrip()
