"""Trackers, by the name that plug-ins of earlier versions import."""

from experiments.run.trackers import *  # noqa: F403
