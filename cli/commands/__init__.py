"""One module for each subcommand, with ``run(flags) -> exit code``."""
