"""The page in a real browser, where there is one: figures are visible, tables sort and filter, nothing is fetched."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium")

PROBE = """
<script>
addEventListener("load", () => {
  const table = document.querySelector("#table_runs"), head = table.querySelectorAll("th")[1];
  const column = () => [...table.querySelectorAll("tbody tr")].filter((row) => !row.hidden).map((row) => row.cells[1].textContent);
  const outcome = { before: column() };
  head.firstElementChild.click(); outcome.ascending = column();
  head.firstElementChild.click(); outcome.descending = column();
  const field = table.querySelector("input");
  field.value = "lottery level_1"; field.dispatchEvent(new Event("input")); outcome.filtered = column();
  outcome.figures = [...document.querySelectorAll("svg.drawing")].map((one) => one.getBoundingClientRect().height);
  outcome.colours = [...document.querySelectorAll("svg.drawing [style*='stroke: var']")].map((one) => getComputedStyle(one).stroke);
  outcome.fetched = performance.getEntriesByType("resource").map((one) => one.name);
  outcome.width = document.documentElement.scrollWidth;
  const place = document.createElement("pre");
  place.id = "outcome"; place.textContent = JSON.stringify(outcome); document.body.append(place);
});
</script>
"""  # noqa: E501


def look(page: Path, place: Path, *flags: str) -> dict[str, Any]:
    """What a browser makes of the page."""
    place.write_text(page.read_text() + PROBE)
    own = f"--user-data-dir={place.parent / 'user'}"
    command = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", own, *flags, "--dump-dom", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="outcome">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr
    outcome: dict[str, Any] = json.loads(unescape(found[1]))
    return outcome


def test_figures_are_visible_tables_sort_and_nothing_is_fetched(page: Path, tmp_path: Path) -> None:
    seen = look(page, tmp_path / "page.html")
    assert seen["fetched"] == []
    assert len(seen["figures"]) >= 7
    assert min(seen["figures"]) > 100
    assert set(seen["colours"]) > {"rgb(0, 0, 0)"}
    assert seen["ascending"] != seen["before"]
    named = sorted(filter(None, seen["before"]))
    empty = [""] * (len(seen["before"]) - len(named))  # at the end in both orders
    assert seen["ascending"] == [*named, *empty]
    assert seen["descending"] == [*reversed(named), *empty]
    assert seen["filtered"]
    assert {name.partition("/")[0] for name in seen["filtered"]} == {"level_1"}


def test_it_is_dark_where_the_reader_wants_that_and_no_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    seen = look(page, tmp_path / "page.html", "--blink-settings=preferredColorScheme=0", "--window-size=500,800")
    assert "rgb(237, 237, 237)" in seen["colours"]  # what is black on white
    assert "rgb(0, 0, 0)" not in seen["colours"]
    assert seen["width"] <= 500
