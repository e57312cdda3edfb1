"""A graph of tasks, and what runs it."""
