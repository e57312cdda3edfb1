"""The page of stored runs, by its HTML."""

import csv
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.report.material import gather, rows_of
from experiments.report.page.build import Look, latex, sections, write_page
from experiments.report.page.parts import Inliner, PageTable, darkened
from experiments.report.page.runs import at_densities
from experiments.report.replicates import summarize
from experiments.report.tables import Table
from experiments.runs import stored
from experiments.runs.status import Status
from foundations import files
from foundations.steps import Step
from tests.test_stored_runs import FORMAT_2, INTERRUPTED, LOTTERY, STABILITY


def drawings(html: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)


def test_it_has_a_section_for_everything_that_the_runs_hold(page: Path) -> None:
    sections = re.findall(r'<section id="(\w+)"', page.read_text())
    assert sections == [
        "summary", "accuracy", "training", "layers", "cost", "branches", "stability", "interpolation", "children",
        "runs", "hyperparameters", "reproduce",
    ]  # fmt: skip


def test_nothing_is_fetched_and_ids_are_there_once(page: Path) -> None:
    html = page.read_text()
    assert not re.findall(r"https?:|@import|url\((?!#)", re.sub(r"<code>.*?</code>", "", html))
    assert not re.findall(r"<(?:link|img|iframe|script src)", html)
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|\bhref=")#([^)"]+)', html)) <= set(ids)


def test_figures_are_well_formed_and_have_no_colour_of_their_own(page: Path) -> None:
    html = page.read_text()
    assert len(drawings(html)) >= 7
    for drawing in drawings(html):
        assert ET.fromstring(drawing).tag == "svg"
        assert not re.search(r"#[0-9a-f]{6}\b", drawing)
        for colour in set(re.findall(r"var\((--c-\w+)\)", drawing)):
            assert html.count(f"{colour}:#") == 2  # light and dark


def test_files_lie_beside_it_under_the_names_that_it_links_to(page: Path) -> None:
    linked = {page.parent / link for link in re.findall(r'href="(report_files/[^"]+)"', page.read_text())}
    assert linked == set((page.parent / "report_files").iterdir())
    assert {path.suffix for path in linked} == {".svg", ".csv", ".tex"}


def test_drawn_again_it_has_the_same_bytes(root: Path, tmp_path: Path) -> None:
    once, again = (write_page([stored.open(root / LOTTERY)], tmp_path / name / "report.html") for name in ("a", "b"))
    for path in (once.with_name("report.html"), *once.iterdir()):
        assert path.read_bytes() == (again.parent / path.relative_to(once.parent)).read_bytes(), path.name


def test_what_collapsed_is_counted_and_says_why(page: Path) -> None:
    html = page.read_text()
    assert "0 of 1; 1 collapsed" in html
    assert "no path from input to output is left (empty: fc.weight)" in html
    with (page.parent / "report_files" / "accuracy.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["collapsed"] for line in lines if line["mean_test_accuracy"] == ""] == ["1"]


def test_what_failed_or_diverged_says_why(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_2 / STABILITY, tmp_path / STABILITY)
    run = stored.open(tmp_path / STABILITY)
    [part] = run.parts
    (part.store / files.INSTABILITY).unlink()
    since = "2026-03-01T14:05:09+01:00"
    Status(state="failed", task="comparison", since=since, reason="No space left\nand advice").write(part.store)
    [row] = rows_of(run)
    assert (row["state"], row["why"]) == ("failed", "No space left")
    child = part.store.sub("child_1")
    rows = child.read_rows(files.METRICS)
    child.append_rows(files.METRICS, [rows[-1] | {"diverged": True}])
    [row] = rows_of(run)
    assert (row["state"], row["why"]) == ("diverged", f"the loss was not finite at {Step(rows[-1]['step']).short}")


def test_paper_has_its_own_widths_and_no_headings(root: Path, tmp_path: Path) -> None:
    write_page([stored.open(root / STABILITY)], tmp_path / "paper.html", Look("paper"))
    svg = (tmp_path / "paper_files" / "stability_barrier_by_k.svg").read_text()
    assert f'width="{6.8 * 72:g}pt"' in svg
    assert "Means over" not in svg


def test_runs_without_their_plug_in_are_listed_all_the_same(root: Path) -> None:
    from pruning import strategies

    with strategies.temporarily(without="adsynflow"):
        found = gather(stored.runs(root))
    assert len(found.rows) >= 5
    assert all("--plugin" in line for line in found.unread)


def of_method(strategy: str, *values: float | None, density: float = 0.1) -> list[dict[str, Any]]:
    about = {"strategy": strategy, "k": "0ep", "key": strategy, "level": 1, "density": density}
    return [
        {**about, "replicate": replicate, "path": Path(f"runs/{strategy}/replicate_{replicate}"),
         "state": "done" if value else "collapsed", "test_accuracy": value}
        for replicate, value in enumerate(values, 1)
    ]  # fmt: skip


def test_the_best_is_named_where_the_replicates_tell_it_apart() -> None:
    near = of_method("snip", 0.90, 0.92, 0.91), of_method("synflow", 0.91, 0.90, 0.91)
    far = of_method("grasp", 0.50, 0.53, 0.51)
    [sentence] = at_densities([*near[0], *far], summarize([*near[0], *far]))
    assert sentence == "10% kept: snip, k = 0ep, the best of 2: 91.00% +- 1.00 (n=3)."
    three = [*near[0], *near[1], *far, *of_method("random", None)]
    [sentence] = at_densities(three, summarize(three))
    assert sentence == (
        "10% kept: snip, k = 0ep has the highest mean, 91.00% +- 1.00 (n=3), not told apart from synflow, k = 0ep; "
        "random, k = 0ep: 0 of 1; 1 collapsed."
    )
    assert at_densities(near[0], summarize(near[0])) == []


def test_only_what_fulfils_a_condition_is_shown_with_its_full_network(root: Path, tmp_path: Path) -> None:
    look = Look(only=["level=1", "pruning_strategy=adsynflow"], labels={"adsynflow": "Ours"})
    beside = write_page(stored.runs(root), tmp_path / "page.html", look)
    with (beside / "table_subnetworks.csv").open(newline="") as file:
        assert {line["strategy"] for line in csv.DictReader(file)} == {"(full network)", "Ours"}
    assert not list(beside.glob("stability*"))


def test_only_the_figures_that_are_named_are_drawn_in_the_formats_that_are_named(root: Path, tmp_path: Path) -> None:
    look = Look("paper", ("pdf", "pgf"), ("accuracy",))
    beside = write_page(stored.runs(root), tmp_path / "page.html", look)
    drawn = {path.name for path in beside.iterdir() if not path.name.startswith("table_")}
    assert drawn == {"accuracy.pdf", "accuracy.pgf", "accuracy.csv"}
    assert len(drawings((tmp_path / "page.html").read_text())) == 1
    assert r"\begin{pgfpicture}" in (beside / "accuracy.pgf").read_text()


def test_a_run_leads_to_the_command_that_computed_it(page: Path) -> None:
    html = page.read_text()
    [target] = set(re.findall(rf'<a href="#(command_\d+)">[^<]*{LOTTERY}/level_1</a>', html))
    assert re.search(rf'<pre id="{target}"><code>python main.py lottery ', html)


# What is damaged is named and counted, and hides nothing else -------------------------------------------------------


def cut(path: Path) -> None:
    """Loses the last line of a table, as if it had never been written."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


DAMAGED = [
    (f"{LOTTERY}/level_1/metrics.jsonl", cut), (f"{LOTTERY}/level_1/metrics.jsonl", Path.touch),
    (f"{LOTTERY}/level_1/sparsity_report.json", cut), (f"{LOTTERY}/desc.json", Path.unlink),
    (f"{LOTTERY}/level_1/done.json", cut), (f"{STABILITY}/k_1ep0it/interpolation.csv", cut),
    (f"{STABILITY}/k_1ep0it/child_2/metrics.jsonl", cut), (f"{STABILITY}/k_1ep0it/instability.json", cut),
    (f"{STABILITY}/desc.json", cut), ("train_a7b76040da42/replicate_1/metrics.jsonl", cut),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage"), DAMAGED)
def test_what_is_damaged_is_named_and_the_rest_is_shown(name: str, damage: Any, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    shutil.copytree(FORMAT_2, root)
    whole = gather(stored.runs(root))
    damage(root / name) if damage is not Path.touch else (root / name).write_bytes(b"")
    found = gather(stored.runs(root))
    assert whole.unread == []
    assert [str(root / name) in text for text in found.unread] == [True]
    assert [row["state"] for row in found.rows].count("damaged") == 1
    assert sections(found)
    shown = {str(row["path"]) for row in found.levels if row["state"] == "done"}
    assert {str(row["path"]) for row in whole.levels if row["state"] == "done"} - shown == (
        {str((root / name).parent)} if "level_1" in name else
        {str(root / LOTTERY / f"level_{level}") for level in (0, 1)} if name == f"{LOTTERY}/desc.json" else set()
    )  # fmt: skip


def test_a_replicate_without_its_descriptor_is_counted(tmp_path: Path, command: Any) -> None:
    root = tmp_path / "runs"
    shutil.copytree(FORMAT_2, root)
    shutil.copytree(root / LOTTERY, root / LOTTERY.replace("_1", "_2"))
    (root / LOTTERY.replace("_1", "_2") / "desc.json").unlink()
    outcome = command("report", f"--root={root}", f"--output={tmp_path / 'report.html'}")
    assert outcome.code == 0
    assert f"Left out: {root / LOTTERY.replace('_1', '_2') / 'desc.json'} is missing." in outcome.err
    assert "1 of 2; 1 damaged" in (tmp_path / "report.html").read_text()


# Its parts ---------------------------------------------------------------------------------------------------------


def test_black_and_white_change_places_and_colours_stay_colours() -> None:
    assert (darkened("000000"), darkened("ffffff")) == ("ededed", "171717")
    red, green, blue = (int(darkened("0072b2")[place : place + 2], 16) for place in (0, 2, 4))
    assert blue > green > red > 0


def test_letters_are_on_the_page_once_and_other_ids_have_the_figures_name() -> None:
    svg = (
        '<?xml?><svg width="1pt" height="1pt" viewBox="0 0 1 1"><defs><path id="DejaVuSans-41" d="M 0 0"/>'
        '<path id="clip" d="M 0.123456 10.123456" style="fill: #FFFFFF"/></defs>'
        '<use xlink:href="#DejaVuSans-41" clip-path="url(#clip)"/></svg>'
    )
    inliner = Inliner()
    first, second = (inliner.element(svg, name) for name in ("a", "b"))
    assert 'id="DejaVuSans-41"' in first
    assert 'id="DejaVuSans-41"' not in second
    assert 'href="#DejaVuSans-41"' in second
    assert 'id="b-clip" d="M 0.123456 10.12" style="fill: var(--c-ffffff)"' in second
    assert "url(#b-clip)" in second


def test_tables_are_set_by_latex() -> None:
    table = Table(["a_b", "accuracy"], [["x & y", "91.20% +- 0.15"]], ["z: 0 of 1"])
    assert latex(PageTable("both", "Means over n replicates.", table)).splitlines() == [
        r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering",
        r"\caption{Means over n replicates. z: 0 of 1.}", r"\label{tab:both}", r"\begin{tabular}{lr}", r"\toprule",
        r"a\_b & accuracy \\", r"\midrule", r"x \& y & 91.20\% $\pm$ 0.15 \\", r"\bottomrule", r"\end{tabular}",
        r"\end{table}",
    ]  # fmt: skip


def test_notes_of_a_table_are_in_its_caption_and_no_cells_in_latex(page: Path) -> None:
    lines = (page.parent / "report_files" / "table_subnetworks.tex").read_text().splitlines()
    [note] = [line for line in lines if "0 of 1; 1 collapsed" in line]
    assert note.startswith(r"\caption{Test accuracy of subnetworks: mean")
    assert note.endswith(r"magnitude, k = 0ep, 50\% kept: 0 of 1; 1 collapsed.}")


# The command -------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote(root: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    outcome = command("report", str(root / INTERRUPTED), f"--output={tmp_path / 'one.html'}")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        f"Report: {tmp_path / 'one.html'}", f"Figures and tables: {tmp_path / 'one_files'}",
    ]  # fmt: skip


HERE = f"--root={FORMAT_2}"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--outptu=x"], "--output"), (["--style=print"], "screen"), (["--format=eps"], "pgf"),
        ([HERE, "--figures=acuracy"], "accuracy"), ([HERE, "--labels=snap=x"], "magnitude"),
        ([HERE, "--labels=snip"], "STRATEGY=LABEL"), ([HERE, "--only=density<0"], "no training"),
        ([HERE, "--only=densty<1"], "--only=densty: no such column"), (["nowhere"], "no run"),
        (["--root=nowhere"], "no such directory"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    flags: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = command("report", *flags)
    assert outcome.code == 2
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
