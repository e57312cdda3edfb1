"""``python -m tests.docs.figure FROM.svg TO.svg`` makes a figure of the program small enough for a document.

The drawing stays the same, except that texts are texts instead of outlines of letters; metadata, unused names and
decimals that nobody sees are left out. It keeps its white background, so that it can be read on a light page and on a
dark one.
"""

import re
import sys
from pathlib import Path

from experiments.report.page.parts import Inliner

OUTLINED = re.compile(
    r"<!-- (?P<text>.*?) -->\s*<g (?P<style>style=\"[^\"]*\" )?transform=\"(?P<place>translate\([^)]*\)"
    r"(?: rotate\([^)]*\))?) scale\((?P<size>[\d.]+) -[\d.]+\)\">.*?</g>",
    flags=re.DOTALL,
)
"""A text as matplotlib writes it: a comment, then its letters; the scale is a hundredth of the font's size."""


def smaller(svg: str) -> str:
    """The figure as a file of its own."""
    [size] = re.findall(r'<svg[^>]*?(width="[^"]*" height="[^"]*" viewBox="[^"]*")', svg)
    drawing = Inliner().element(OUTLINED.sub(text, svg), "figure").partition(">")[2]
    drawing = re.sub(r"var\(--c-(\w{6})\)", r"#\1", drawing)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="DejaVu Sans, Verdana, sans-serif">'
    return f"{opening}{drawing}\n".replace("<g>", "\n<g>")


def text(outlined: "re.Match[str]") -> str:
    """The text itself."""
    size = f'font-size="{100 * float(outlined["size"]):g}"'
    return f'<text {outlined["style"] or ""}transform="{outlined["place"]}" {size}>{outlined["text"]}</text>'


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(smaller(Path(sys.argv[1]).read_text()))
