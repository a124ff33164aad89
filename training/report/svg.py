"""svg.py - from a matplotlib figure to an <svg> that is part of the page: its colours, its font, its width.

Law: colours are names in the drawing and become the page's CSS variables, so that one drawing reads in light and dark.
Nothing in it points outside.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

# Colour in the drawing -> CSS variable of the page. The values mean nothing but "this one".
COLOURS = {
    "ink": "#010101", "muted": "#020202", "grid": "#030303", "bot": "#040404", "human": "#050505",
    "third": "#060606", "fourth": "#070707", "paper": "#080808",
}  # fmt: skip
INK, MUTED, GRID, BOT, HUMAN, THIRD, FOURTH, PAPER = COLOURS.values()
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_OF_HEX = {value: f"var(--{name})" for name, value in COLOURS.items()}
_DRAWING: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it is read aloud, found, and set in the page's font
    "svg.hashsalt": "xbot",  # the same figures make the same page
    "text.parse_math": False,
    "path.simplify_threshold": 0.3,
}


def inline(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an <svg> element. `name` starts the ids in it, which must differ between the figures of a page."""
    file = io.BytesIO()
    with rc_context(_DRAWING):
        figure.savefig(file, format="svg", transparent=True)
    svg = ET.fromstring(file.getvalue())  # noqa: S314  matplotlib wrote it, a moment ago
    for metadata in svg.findall(f"{_SVG}metadata"):
        svg.remove(metadata)
    used = {found for element in svg.iter() for found in _references(element)}
    for element in svg.iter():
        _adapt(element, name, used)
    label = ET.Element("title")
    label.text = title
    svg.insert(0, label)
    svg.attrib = {"viewBox": svg.get("viewBox", ""), "role": "img", "id": name, "class": "plot"}
    return Markup(ET.tostring(svg, encoding="unicode", short_empty_elements=False))  # noqa: S704  well-formed, escaped


def place(figure: Figure, x: float, y: float) -> tuple[float, float]:
    """Where a point of the first axes lies in the <svg>, after `inline` has laid the figure out."""
    at = figure.axes[0].transData.transform((x, y))
    return round(float(at[0]), 1), round(float(figure.get_figheight() * 72 - at[1]), 1)


def _references(element: ET.Element) -> list[str]:
    values = [element.get(_LINK, ""), *element.attrib.values()]
    return [found for value in values for found in re.findall(r"(?:url\(|^)#([\w-]+)", value)]


def _adapt(element: ET.Element, name: str, used: set[str]) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    for key, value in list(element.attrib.items()):
        if key == _LINK:
            del element.attrib[key]
            element.set("href", value.replace("#", f"#{name}-"))
        elif key == "id":
            del element.attrib[key]
            if value in used:
                element.set("id", f"{name}-{value}")
        elif key == "style":
            element.set("style", _style(value))
        elif "url(#" in value:
            element.set(key, value.replace("url(#", f"url(#{name}-"))
    if element.tag == "style":
        element.text = "*{stroke-linejoin:round;stroke-linecap:butt}"


def _style(text: str) -> str:
    kept = []
    for declaration in filter(None, map(str.strip, text.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font-family":
            continue
        if name == "font":  # matplotlib's shorthand: size and family
            size = re.search(r"[\d.]+px", value)
            weight = re.search(r"\b(bold|[5-9]00)\b", value)
            kept += [f"font-size:{size[0]}"] if size else []
            kept += [f"font-weight:{weight[0]}"] if weight else []
            continue
        kept.append(f"{name}:{re.sub('#[0-9a-f]{6}', lambda found: _OF_HEX.get(found[0], found[0]), value)}")
    return ";".join(kept)
