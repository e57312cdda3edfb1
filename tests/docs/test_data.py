"""docs/data.md says of every data set where its files go."""

import re
from pathlib import Path

from adsynflow import datasets

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def test_every_data_set_has_its_line() -> None:
    listed = set(re.findall(r"^\| `([a-z_0-9]+)(?:`|:)", TEXT, flags=re.MULTILINE))
    assert listed == {*datasets, "image_folder", "arrays"}
