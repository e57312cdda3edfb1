"""network.json: what somebody needs to use a run's networks without the run's data set."""

from typing import Any

from models import ModelHparams
from training.data import TrainingData


def describe_network(model: ModelHparams, data: TrainingData) -> dict[str, Any]:
    """Architecture, shape of the images, names of the classes, and the normalization of the inputs.

    ``input_shape`` is (channels, height, width); ``normalization`` has ``mean`` and ``std`` of each channel, by which
    a network's inputs are (pixel - mean) / std, of pixels in [0, 1].
    """
    shape = data.shape
    return {
        "model": model.to_dict(),
        "input_shape": [shape.channels, shape.height, shape.width],
        "class_names": list(data.class_names),
        "normalization": {name: list(values) for name, values in data.normalization.items()},
    }
