"""Criteria for k, by the name that plug-ins of earlier versions import."""

from stability.criteria import *  # noqa: F403
