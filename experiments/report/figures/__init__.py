"""Figures, drawn with matplotlib from rows."""
