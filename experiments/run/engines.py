"""What runs a plan: one process, or several. A plug-in can bring another.

    @engines.register("my_cluster")
    def run(plan: Plan, session: Workspace) -> list[Failure]: ...
"""

from collections.abc import Mapping

from experiments.options import SessionOptions
from experiments.run import in_process, local, ray, slurm
from experiments.run.engine import Engine, Failed, Failure, engines, run_plan
from foundations.errors import UsageError
from foundations.hparams import as_text

__all__ = ["Engine", "Failed", "Failure", "check_engine", "engines", "in_process", "local", "ray", "run_plan", "slurm"]

OURS = ("in_process", "local", "ray", "slurm")
HEEDED_BY: Mapping[str, tuple[str, ...]] = {
    "jobs": ("local",), "at_once": ("local", "in_process"), "slurm": ("slurm",), "detach": ("slurm",),
    "cpus_per_task": ("slurm", "ray"), "gpus_per_task": ("slurm", "ray"),
}  # fmt: skip
"""Options that only some of our own engines heed; a plug-in's may heed any."""


def check_engine(options: SessionOptions) -> None:
    """Raise ``UsageError`` for an unknown engine, or an option that the chosen one does not heed."""
    engines.get(options.engine)
    if options.engine not in OURS:
        return
    for name, heeding in HEEDED_BY.items():
        value = getattr(options, name)
        if options.engine not in heeding and value != getattr(SessionOptions, name):
            valid = " or ".join(f"--engine={engine}" for engine in heeding)
            raise UsageError(f"--{name}={as_text(value)}: not with --engine={options.engine}; valid: {valid}")
    if options.engine == "slurm":
        slurm.parameters(options)
