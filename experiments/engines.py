"""Engines, by the name that plug-ins of earlier versions import."""

from experiments.run import in_process as in_process
from experiments.run.engines import *  # noqa: F403
