"""A descriptor says everything that a run's result depends on, and so names its directory."""

import hashlib
import json
from dataclasses import dataclass
from typing import ClassVar

from foundations.hparams import Hparams, canonical


@dataclass(frozen=True, kw_only=True)
class Desc(Hparams):
    """A bundle of hyperparameters with a name for its kind of run.

    The replicate is not part of it: replicates of one experiment lie beside each other in its directory.
    """

    kind: ClassVar[str]

    @property
    def key(self) -> str:
        """``<kind>_<first 12 hex digits of the sha256 of the canonical JSON>``."""
        return key_of(self.kind, self)

    def code(self) -> tuple[object, ...]:
        """Return the classes and functions that the result depends on by name: a strategy's class, a model's builder.

        The source of those that plug-ins define is recorded with the result.
        """
        return ()


def key_of(kind: str, hparams: Hparams) -> str:
    """Return ``<kind>_<hash>`` of hyperparameters that are not a descriptor by themselves."""
    text = json.dumps(canonical(hparams), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
