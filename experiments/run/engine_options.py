"""Options of a session that belong to some engines only: checked before anything is read or written."""

from collections.abc import Mapping

from experiments.options import SessionOptions
from experiments.run import slurm_options
from experiments.run.engine import engines
from foundations.errors import UsageError
from foundations.hparams import as_text

OWN = ("in_process", "local", "ray", "slurm")
BELONGS_TO: Mapping[str, tuple[str, ...]] = {
    "jobs": ("local",), "at_once": ("local", "in_process"), "slurm": ("slurm",), "detach": ("slurm",),
    "cpus_per_task": ("slurm", "ray"), "gpus_per_task": ("slurm", "ray"),
}  # fmt: skip
"""Options of some of our own engines, which the others would ignore; a plug-in's may heed any."""


def check_engine(options: SessionOptions) -> None:
    """Raises ``UsageError`` for an engine that there is not, or an option that the chosen one does not heed."""
    engines.get(options.engine)
    if options.engine not in OWN:
        return
    for name, heeding in BELONGS_TO.items():
        value = getattr(options, name)
        if options.engine not in heeding and value != getattr(SessionOptions, name):
            valid = " or ".join(f"--engine={engine}" for engine in heeding)
            raise UsageError(f"--{name}={as_text(value)}: not with --engine={options.engine}; valid: {valid}")
    if options.engine == "slurm":
        slurm_options.check(options)
