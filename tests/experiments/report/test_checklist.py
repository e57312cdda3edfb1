"""``report --checklist``: answers from runs, and what they do not know."""

from pathlib import Path

from experiments.report.checklist import checklist
from experiments.runs.stored import runs
from experiments.session import Session


def test_it_says_what_runs_know_and_what_they_do_not(tmp_path: Path) -> None:
    tiny = {"model": "mnist_lenet_8", "dataset": "digits", "training_steps": "4it", "milestone_steps": [()]}
    session = Session(tmp_path, threads=1, quiet=True)
    session.lottery(**tiny, pruning_strategy=["random", "magnitude"], k=0, density=0.5, replicate=[1, 2]).run()
    said = checklist(runs(tmp_path))
    for line in (
        "- 3 experiments, 6 runs; of their parts 4 done, 2 trained.",
        "- No validation set: whatever was chosen saw the test set.",
        "n = 2 (replicates 1, 2).",
        ", n = 2, p = ",
        " of processors, at most ",
        "threads: 1; all attempts).",
        "- digits: licence CC BY 4.0",
        "not known to the program",
    ):
        assert line in said
