"""Groups of channels, and the layers that read and write them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, by the groups of its input and output channels.

    Args:
        name: the module's name.
        reads: the group of its input channels; None for the network's input, whose channels belong to no layer.
        writes: the group of its output channels.
    """

    name: str
    reads: int | None
    writes: int


@dataclass(frozen=True)
class ChannelGraph:
    """Groups of channels that go together, such as all those that are added up in one residual stream.

    Args:
        sizes: the number of channels of each group.
        pinned: groups that stay whole and in order: the network's output, and those that meet an operation of which
            it is not known that it treats each channel by itself.
        layers: the convolutions and linear layers that read or write groups.
        norms: BatchNorm layers, by name, and their groups.
    """

    sizes: dict[int, int]
    pinned: set[int]
    layers: list[Layer]
    norms: dict[str, int]
