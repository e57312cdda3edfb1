"""Subnetworks at their true size: channels that cannot influence the output are taken out, exactly."""

from pruning.compaction.compact import compact
from pruning.compaction.compacted import Compacted

__all__ = ["Compacted", "compact"]
