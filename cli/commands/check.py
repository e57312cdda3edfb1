"""``check``: computes a published number again, and says whether it came out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cli import FAILED
from cli.reading import ANY, Given, command
from cli.running import print_plan, report_failures
from cli.terminal import listed, print_table, say
from experiments.checks import Claim, Outcome, Protocol, checks, outcomes, planned, with_dataset
from experiments.checks.check import SIZES
from experiments.options import SessionOptions
from experiments.run.engines import Failed
from experiments.session import Session
from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from foundations.text import summary_of_docstring


@dataclass(frozen=True, kw_only=True)
class CheckOptions(SessionOptions):
    """What is run, and where."""

    size: str = hp("small", choices=SIZES)
    """full: the published protocol; small: shorter or on fewer images, for two CPU cores."""
    dataset: str | None = hp(None)
    """Data set; default: the first of the check's that lies in --data_dir."""
    replicates: int | None = hp(None, within="[1, inf)")
    """Replicates of each experiment; default: as many as the check's protocol has."""
    evaluate_every: Step | None = hp(None)  # type: ignore[assignment]  # the protocol's own by default
    """Evaluate during training each so many steps; default: as the check's protocol has it."""
    json: bool = hp(False)
    """Print the outcome as JSON."""
    dry_run: bool = hp(False)
    """Print the plan (what is done, what is shared, how many steps are left) and do nothing else."""


@command(CheckOptions, "[NAME]", ANY)
def run(given: Given[CheckOptions]) -> int:
    """Run a check as ordinary experiments, which every other command finds again, and print the published
    numbers beside ours; exit code 1 if one is further off than its tolerance. Without a name: list the checks.
    """
    names, options = given.operands, given.options
    if not names:
        print(listed({name: summary_of_docstring(checks.get(name).__doc__) for name in checks}, indent=""))
        return 0
    if len(names) > 1:
        raise UsageError(f"{' '.join(names)}: one check at a time")
    [name] = names
    check = checks.get(name)()
    dataset = with_dataset(check, options.dataset, Path(options.data_dir))
    protocol = check.protocol(options.size, dataset)
    if options.replicates is not None:
        protocol = protocol.with_replicates(options.replicates)
    session = make_session(options, protocol, ["check", *given.argv])
    grid = planned(protocol, session)
    if options.dry_run:
        grid.prepare(dry=True)
        print_plan(grid)
        return 0
    try:
        grid.run()
        failures = []
    except Failed as failed:
        failures = list(failed.failures)
    found = outcomes(protocol, session)
    about = {"check": name, "size": options.size, "dataset": dataset, "source": protocol.source}
    if options.json:
        print(json.dumps({**about, "claims": [one.to_dict() for one in found]}, indent=2))
    else:
        show(about, found)
    code = report_failures(failures) if failures else 0
    return code or (0 if all(one.holds for one in found) else FAILED)


def make_session(options: CheckOptions, protocol: Protocol, command: Sequence[str]) -> Session:
    given = {item.name: getattr(options, item.name) for item in fields(SessionOptions)}
    return Session(**{**given, "evaluate_every": options.evaluate_every or protocol.evaluate_every}, command=command)


def show(about: dict[str, Any], found: Sequence[Outcome]) -> None:
    say(f"{about['check']}, size {about['size']}, {about['dataset']}. Theirs: {about['source']}")
    headers = ["", "theirs", "ours", "n", "difference", "tolerance", ""]
    print_table(headers, [cells(one) for one in found])


def cells(one: Outcome) -> list[str]:
    claim = one.claim
    if one.ours is None or one.difference is None:
        return [claim.what, f"{claim.theirs:.2f}", "-", "0", "-", tolerance(claim), "no result"]
    spread = "" if one.deviation is None else f" +- {one.deviation:.2f}"
    return [
        claim.what, f"{claim.theirs:.2f}", f"{one.ours:.2f}{spread}", str(len(one.found)), f"{one.difference:+.2f}",
        tolerance(claim), "pass" if one.holds else "fail",
    ]  # fmt: skip


def tolerance(one: Claim) -> str:
    if one.side == "above":
        return "above"
    sign = {"within": "+-", "at least": "-", "at most": "+"}[one.side]
    return f"{sign}{one.tolerance:g}"
