"""What everything else depends on: hyperparameters, descriptors, steps, seeds, registries, the run directory."""
