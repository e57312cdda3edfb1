"""Networks of somebody else's: their files become a run that others start from."""
