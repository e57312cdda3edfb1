"""Measurements of speed and memory, as ratios within one run; README.md says how to read them."""
