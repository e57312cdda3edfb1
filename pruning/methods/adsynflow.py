"""AdSynFlow: SynFlow after pre-training, with data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from foundations.hparams import hp
from pruning.methods.synflow import INPUTS, SynFlow
from pruning.strategy import strategies


@strategies.register("adsynflow")
@dataclass(frozen=True, kw_only=True)
class AdSynFlow(SynFlow):
    """SynFlow at a step k at which the full network is stable to SGD noise, fed with an image of the data
    set.

    Bolwerk 2021: the same score as :class:`SynFlow`, on pre-trained weights and with the data set's average
    image (or one image) as input. k is the recipe's pre-training step, 30 epochs in the thesis's recipe. How
    BatchNorm is treated matters here, since it has been trained; see :class:`SynFlow`.
    """

    defaults: ClassVar[Mapping[str, Any]] = {**SynFlow.defaults, "k": None}

    synflow_input: str = hp("mean", choices=INPUTS)
    """Input of the score, as pixels in [0, 1]: ones, one training image, the mean of all, or a batch of images."""
