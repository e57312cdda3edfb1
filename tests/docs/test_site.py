"""Links between documents lead somewhere, here and on the site; the site itself is built by ``make docs``."""

import re
from pathlib import Path

import pytest

import adsynflow
from tests.docs import site

HOME = Path(__file__).parents[2]
DOCUMENTS = sorted({*HOME.glob("*.md"), *HOME.glob("docs/**/*.md"), *HOME.glob("benchmarks/*.md")})
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def prose(path: Path) -> str:
    """Return a document without its code."""
    lines = FENCED.sub("", path.read_text()).splitlines()
    return "\n".join(re.sub(r"`[^`]*`", "``", line) for line in lines if not line.startswith("    "))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text()), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(HOME).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for found in site.LINK.finditer(prose(path)):
        target, _, anchor = found["target"].partition("#")
        if "://" in target:
            continue
        there = path.parent / target if target else path
        assert there.exists(), found["target"]
        assert not anchor or anchor in anchors(there), found["target"]


def test_links_follow_the_documents_to_their_pages() -> None:
    assert site.linked("[a](docs/python.md#x) [b](https://c)", "README.md") == "[a](python.md#x) [b](https://c)"
    assert site.linked("[a](../benchmarks/README.md)", "docs/results.md") == "[a](benchmarks.md)"
    assert site.linked("[a](../python.md) [b](x.csv)", "docs/results/plan.md") == "[a](../python.md) [b](x.csv)"
    assert site.linked("[the zoo](tests/zoo)", "README.md") == "the zoo", "it is not on the site"


def test_every_page_is_in_the_navigation(tmp_path: Path) -> None:
    site.write(tmp_path / "pages")
    pages = {path.name for path in (tmp_path / "pages").glob("*.md")}
    listed = re.findall(r"- (\w[\w-]*\.md)$", (HOME / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(pages)


def test_the_reference_has_every_public_name() -> None:
    assert sorted(re.findall(r"^::: adsynflow\.(\w+)$", site.reference(), re.MULTILINE)) == adsynflow.__all__


def test_a_notebook_becomes_a_page_with_its_outputs() -> None:
    page = site.notebook((HOME / "docs" / "notebook.ipynb").read_text())
    assert page.startswith("# ")
    assert "```python\n" in page
    assert "](data:image/png;base64," in page
