"""The analysis of one network: children trained from it, what lies between them, and what follows from that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foundations import files
from pruning import Mask
from stability.children import Children
from stability.comparison import Comparison
from stability.desc import AnalysisHparams
from stability.judge import Subject, chance_error, judge
from stability.verdict import Verdict, stored, write_verdict


@dataclass(frozen=True)
class Analysis:
    """Instability analysis from one state (Frankle et al. 2020, arXiv 1912.05671, section 2).

    Args:
        subject: what is analysed.
        children: the trainings from it; ``interpolation.csv`` and ``instability.json`` lie beside their directories.
        mask: what they are masked by, if anything.
        full_network: the result of the full network trained for the same steps; trains it if need be.
        settings: how the children are compared.
    """

    subject: Subject
    children: Children
    mask: Mask | None
    full_network: Callable[[], dict[str, Any]]
    settings: AnalysisHparams

    def run(self) -> Verdict:
        """Trains and compares what has not been yet, and writes ``instability.json``; its content."""
        here, trunk = self.children.here, self.children.trunk
        if (known := stored(here, self.settings)) is not None:
            return known
        with here.lock(trunk.context.reporter):
            full = self.full_network()
            for number in range(1, self.settings.children + 1):
                self.children.train(number)
            measured = Comparison(self.children, self.mask, self.settings).run()
            chance = chance_error(trunk.data, self.settings.judge_by)
            verdict = judge(self.subject, measured, self.settings, full["test_accuracy"], chance)
            own = [name for name in (files.MASK, files.SPARSITY_REPORT) if here.has(name)]
            write_verdict(here, verdict, *own, *self.children.files(self.settings.children))
        return verdict
