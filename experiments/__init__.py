"""What the command line, notebooks and engines share: experiments, and what is said of their results."""
