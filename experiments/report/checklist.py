"""What checklists of conferences ask for (NeurIPS's among them), answered from what the runs have recorded."""

from collections.abc import Iterable, Sequence
from typing import Any

from experiments.report.comparisons import comparisons
from experiments.report.page.runs import compute_sentences
from experiments.runs.directory import RunDirectory
from experiments.runs.rows import DAMAGED, flat, named, result_rows
from experiments.runs.status import environment_of
from foundations import files

LICENCES = {
    "mnist": "CC BY-SA 3.0 (LeCun, Cortes, Burges)", "fashion_mnist": "MIT (Zalando)",
    "digits": "CC BY 4.0 (UCI, Alpaydin and Kaynak)", "cifar10": "none stated (Krizhevsky)",
    "cifar100": "none stated (Krizhevsky)", "imagenet": "for non-commercial research (image-net.org)",
}  # fmt: skip
UNKNOWN = "not known to the program: say it yourself"


def checklist(runs: Sequence[RunDirectory]) -> str:
    """Return a Markdown document with an answer to each question, or that runs do not record it.

    Damaged runs are named and left out.
    """
    rows = {run.path: result_rows(run) for run in runs}
    damaged = [row["reason"] for own in rows.values() for row in own if row["state"] == DAMAGED]
    runs = [run for run in runs if all(row["state"] != DAMAGED for row in rows[run.path])]
    answers = {
        "Which experiments": [*experiments(runs), *(f"Left out: {why}." for why in damaged)],
        "Hyperparameters, and how they were chosen": hyperparameters(runs),
        "Seeds and repetitions": repetitions(runs),
        "Intervals and tests": intervals(runs),
        "Compute": compute(runs),
        "Code": code(runs),
        "Data and licences": data(runs),
        "Deviations from publications": [
            "docs/methods.md: of every method what ours does otherwise; training/recipes.py: what of a recipe is ours.",
            f"Deviations of your own: {UNKNOWN}.",
        ],
        "Limitations, broader impact, human subjects": [f"Not recorded: {UNKNOWN}."],
    }
    sections = [f"## {heading}\n\n{bullets(lines)}" for heading, lines in answers.items()]
    return "\n\n".join(["# Checklist", *sections]) + "\n"


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def experiments(runs: Sequence[RunDirectory]) -> list[str]:
    ended: dict[str, int] = {}
    for run in runs:
        for part in run.parts:
            ended[part.state.word] = ended.get(part.state.word, 0) + 1
    said = ", ".join(f"{number} {word}" for word, number in sorted(ended.items()))
    return [f"{len({run.path.parent for run in runs})} experiments, {len(runs)} runs; of their parts {said}."]


def hyperparameters(runs: Sequence[RunDirectory]) -> list[str]:
    """Return those that all have in common, those that differ, and by which images k was judged."""
    known = [named(flat(run.hyperparameters)) for run in runs]
    names = sorted({name for one in known for name in one} - {"format"})
    values = {name: sorted({str(one[name]) for one in known if name in one}) for name in names}
    common = [f"{name}={own[0]}" for name, own in values.items() if len(own) == 1]
    differing = [f"{name}={' | '.join(own)}" for name, own in values.items() if len(own) > 1]
    held_out = any(one.get("validation_fraction") for one in known)
    judged = {entries["analysis"].get("judge_by", "test") for entries in verdicts(runs)}
    return [
        f"In common: {', '.join(common)}.", f"Differing: {', '.join(differing) or 'none'}.",
        "A validation set was held out." if held_out else "No validation set: whatever was chosen saw the test set.",
        *(f"Stability, and any k that follows from it, was judged on the {split} images." for split in sorted(judged)),
        f"How the others were chosen, and what was tried: {UNKNOWN}.",
    ]


def verdicts(runs: Sequence[RunDirectory]) -> list[dict[str, Any]]:
    return [
        part.store.read_json(files.INSTABILITY)
        for run in runs for part in run.parts if part.store.has(files.INSTABILITY)
    ]  # fmt: skip


def repetitions(runs: Sequence[RunDirectory]) -> list[str]:
    replicates: dict[str, list[int]] = {}
    for run in runs:
        replicates.setdefault(run.path.parent.name, []).append(run.replicate)
    return [
        "Everything random is drawn from generators seeded by the replicate, the purpose and the epoch.",
        *(f"{key}: n = {len(own)} (replicates {', '.join(map(str, sorted(own)))})." for key, own in replicates.items()),
    ]


def intervals(runs: Sequence[RunDirectory]) -> list[str]:
    """Return what intervals mean here, and the paired differences."""
    rows = [row for run in runs if run.kind == "lottery" for row in result_rows(run)]
    found = comparisons([row for row in rows if "strategy" in row and "level" in row])
    return [
        "Means with standard deviations over replicates (n - 1). Differences are paired by replicate, with Student's "
        "95% interval; p-values by Holm over all of them. They cover replicates, not test images, and suppose "
        "near-normal effects.",
        "Barriers: 90% intervals over children (jackknife) or replicates, given the test set.",
        *(f"{one.kept} kept, {one.method} minus {one.reference}: {one.found.text()}"
          f"{'' if one.p is None else f', p = {one.p:.2g}'}." for one in found),
    ]  # fmt: skip


def compute(runs: Sequence[RunDirectory]) -> list[str]:
    return [*compute_sentences(runs), f"Runs that are not below this root, searches among them: {UNKNOWN}."]


def environments(runs: Sequence[RunDirectory], *names: str) -> dict[str, list[str]]:
    """Return the values that environments have under some names."""
    found = [entries for run in runs if (entries := environment_of(run.store)) is not None]
    return {
        name: sorted({str(value) for one in found if (value := one.get(name, one.get("packages", {}).get(name)))})
        for name in names
    }


def code(runs: Sequence[RunDirectory]) -> list[str]:
    found = environments(runs, "commit", "python", "torch", "numpy", "torchvision")
    commit = ", ".join(found.pop("commit")) or UNKNOWN
    return [f"Commit: {commit}.", *(f"{name}: {', '.join(own)}." for name, own in found.items() if own),
            "The commands are on the page that `report` writes."]  # fmt: skip


def data(runs: Sequence[RunDirectory]) -> list[str]:
    names = sorted({str(flat(run.hyperparameters).get("dataset")) for run in runs} - {"None"})
    prints = environments(runs, "data_fingerprint")["data_fingerprint"]
    return [*(f"{name}: licence {LICENCES.get(name, UNKNOWN)}." for name in names),
            f"Fingerprints (sha256 of the decoded data): {', '.join(prints) or UNKNOWN}."]  # fmt: skip
