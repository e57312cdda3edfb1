"""One self-contained HTML page of stored runs, and its figures and tables as files beside it."""
