"""What a section of the page is made of, and its colours for light and dark."""

import colorsys
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.report.tables import CSV, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOUR = re.compile(r"#([0-9a-fA-F]{6})\b")
PAPER, INK = "ffffff", "000000"
LIKE_FIGURES = {"paper": PAPER, "ink": INK, "muted": "666666", "line": "dddddd", "accent": "0072b2"}
"""Colours of the page by the figures' that they go with."""
WIDE = 500
"""In points; a figure that is wider has the width of the page, others stand side by side where there is room."""


GLYPH = re.compile(r'\s*<path id="(DejaVu[^"]+)"[^>]*/>')


@dataclass
class Inliner:
    """Turns SVG files into elements of one page."""

    colours: set[str] = field(default_factory=lambda: {INK})
    """Those that are used so far."""
    glyphs: set[str] = field(default_factory=set)
    """Ids of the outlines of letters that are on the page already, which all figures share."""

    def element(self, svg: str, name: str) -> str:
        """Return an SVG file as an element of a page; ids get the figure's name in front, as all share a page."""
        svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|\sxmlns(:xlink)?=\"[^\"]*\"", "", svg, flags=re.DOTALL)
        svg = svg[svg.index("<svg") :].strip().replace("xlink:href", "href")
        svg = GLYPH.sub(self.once, svg)
        used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
        svg = re.sub(r'\sid="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)
        svg = re.sub(r'(\bid="|url\(#|href="#)(?!DejaVu)', rf"\1{name}-", svg)
        svg = re.sub(r"\b([1-9]\d*\.\d\d)\d+", r"\1", re.sub(r"\s*\n\s*", " ", svg)).replace("> <", "><")
        self.colours |= {found.lower() for found in COLOUR.findall(svg)}
        svg = COLOUR.sub(lambda found: f"var(--c-{found[1].lower()})", svg)
        opening = f'<svg role="img" aria-label="{name}" class="drawing"'
        return opening + re.sub(r'^<svg width="[^"]*" height="[^"]*"', "", svg)

    def once(self, found: "re.Match[str]") -> str:
        """Return a letter's outline, or nothing if it is there already."""
        if found[1] in self.glyphs:
            return ""
        self.glyphs.add(found[1])
        return found[0]


def is_wide(svg: str) -> bool:
    return float(re.findall(r'viewBox="0 0 ([\d.]+)', svg)[0]) > WIDE


def variables(colours: Iterable[str], *, dark: bool) -> str:
    """Return declarations of CSS variables for the colours of figures and of the page."""
    values = {colour: darkened(colour) if dark else colour for colour in sorted({*colours, *LIKE_FIGURES.values()})}
    page = [f"--{name}:var(--c-{colour})" for name, colour in LIKE_FIGURES.items()]
    return ";".join([*(f"--c-{colour}:#{value}" for colour, value in values.items()), *page])


def darkened(colour: str) -> str:
    """Return a colour for a dark page: greys turned over, black to near white, others light enough."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    turned = 0.93 - 0.84 * lightness
    light = max(turned, lightness, 0.6) if saturation > 0.1 else turned
    parts = colorsys.hls_to_rgb(hue, light, min(saturation, 0.85))
    return "".join(f"{round(255 * part):02x}" for part in parts)


@dataclass(frozen=True)
class PageFigure:
    """A figure with the numbers that it shows."""

    name: str
    """Of its files."""
    caption: str
    """What is drawn, what bars and bands are, and what n is."""
    make: "Callable[[], Figure]"
    data: CSV


@dataclass(frozen=True)
class PageTable:
    """A table that can be sorted and filtered."""

    name: str
    """Of its files."""
    caption: str
    table: Table
    links: Mapping[str, str] = field(default_factory=dict)
    """By a cell's text, what on the page it leads to."""


@dataclass(frozen=True)
class PageSection:
    """A heading with what stands below it."""

    name: str
    title: str
    sentences: Sequence[str] = ()
    figures: Sequence[PageFigure] = ()
    tables: Sequence[PageTable] = ()
    commands: Sequence[str] = ()
    """Lines to copy."""
    details: Sequence[PageTable] = field(default=())
    """Tables that are folded up."""

    @property
    def empty(self) -> bool:
        return not (self.sentences or self.figures or self.tables or self.commands or self.details)
