"""Formats of exports, by the name that plug-ins of earlier versions import."""

from experiments.exchange import *  # noqa: F403
