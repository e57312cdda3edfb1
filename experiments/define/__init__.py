"""From names and values to experiments."""
