"""Tickets to take away: a run's subnetwork as files that other people's code understands."""

from experiments.export import formats as formats
from experiments.export.subnetwork import Subnetwork, find_subnetwork
from experiments.export.writing import export, export_formats

__all__ = ["Subnetwork", "export", "export_formats", "find_subnetwork"]
