"""Published experiments repeated: plans of ordinary experiments, their rows, and the tables made from them.

    python -m benchmarks.studies thesis-small [--root=DIR] [--data_dir=DIR] [--threads=N] [--first=N] [--dry_run]
    python -m benchmarks.studies document     # docs/results/*.csv -> docs/studies.md

A study can be stopped at any moment and started again: it does only what is missing. Its parts come in the order in
which they tell most, and after each its rows are written, so that half a study is a result too.
"""
