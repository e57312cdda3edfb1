"""Tables and figures: stored rows in, files out. Nothing is trained here."""
