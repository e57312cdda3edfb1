"""Random pruning by layer, by the name that plug-ins of earlier versions import."""

from pruning.methods.random import RandomERK as RandomERK
