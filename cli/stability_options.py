"""The flags of ``stability`` that are not about how children are compared."""

from dataclasses import dataclass

from foundations.hparams import Hparams, hp
from foundations.steps import Step


@dataclass(frozen=True, kw_only=True)
class StabilityOptions(Hparams):
    """What is analysed."""

    pruning_strategy: str = hp("adsynflow")
    """What prunes at k; none for the full network; a,b for several over the one trunk."""
    k: Step | None = hp(None)
    """Step from which children are trained; 0,5,2000it for several; auto searches the smallest stable one."""
    max_k: Step | None = hp(None)
    """The largest step that --k=auto tries; default: half the training, since a k near the end is trivially stable."""
    density: float | None = hp(None, within="(0, 1)")
    """What pruning keeps of the prunable weights; --pruning_fraction prunes the rest."""
    checkpoint: str | None = hp(None)
    """File of weights (safetensors or a plain state dict) that takes the place of the trunk at k."""
    reset_optimizer: bool = hp(False)
    """Start the children with a fresh optimizer, as open_lth does, instead of the trunk's at k."""
    perturb_hyperparameters: float = hp(0.0, within="[0, 1)")
    """Draw learning rate and weight decay of all children but the first from a normal of this relative deviation."""
    report: bool = hp(True)
    """Draw figures and write tables at the end."""
    child: int | None = hp(None, within="[1, inf)")
    """Train only this child of the analysis, and compare nothing: what --jobs starts."""
