"""What everything else stands on: hyperparameters, descriptors, steps, seeds, registries, the run directory."""
