"""Which layers of a network share their channels, found from its forward pass."""

from pruning.graph.channel_graph import ChannelGraph, Layer
from pruning.graph.operations import BATCHNORMS, CONVOLUTIONS
from pruning.graph.tracing import channel_graph

__all__ = ["BATCHNORMS", "CONVOLUTIONS", "ChannelGraph", "Layer", "channel_graph"]
