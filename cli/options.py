"""The flags that only a command line has."""

from dataclasses import dataclass

from foundations.hparams import Hparams, hp


@dataclass(frozen=True, kw_only=True)
class CommandOptions(Hparams):
    """What is done with the experiments that a command line asks for."""

    config: str | None = hp(None)
    """A TOML file of flags, also by command in tables, or the desc.json of a run; the command line wins."""
    display_output_location: bool = hp(False)
    """Print the run's directory and do nothing else."""
    dry_run: bool = hp(False)
    """Print the plan (what is done, what is shared, how many steps are left) and do nothing else."""
