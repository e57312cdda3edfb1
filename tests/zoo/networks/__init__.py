"""Small networks of the kinds that people have, by name."""

from tests.zoo.networks import blocks, computed, layers, sequences, vectors
from tests.zoo.networks.registry import ZOO

__all__ = ["ZOO", "blocks", "computed", "layers", "sequences", "vectors"]
