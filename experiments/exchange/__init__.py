"""Tickets to take away: a run's subnetwork as files that other people's code understands."""

from experiments.exchange import formats as formats
from experiments.exchange import sharing as sharing
from experiments.exchange.export import Subnetwork, export, export_formats, find_subnetwork

__all__ = ["Subnetwork", "export", "export_formats", "find_subnetwork"]
