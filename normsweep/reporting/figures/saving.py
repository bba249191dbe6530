"""A figure as files, and as a part of a page."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from normsweep.reporting.figures.style import INK, PAPER, house_style

__all__ = ["inline", "save", "svg_text"]

DPI = 150
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write `name.png` (white) and `name.svg` (transparent) into the folder; the SVG's text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(_png(figure))
    text = svg_text(figure)
    (folder / f"{name}.svg").write_text(text, encoding="utf-8")
    return text


@house_style
def svg_text(figure: Figure) -> str:
    """The figure as a standalone SVG: text as text, the same bytes every time."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        FigureCanvasSVG(figure).print_svg(buffer, metadata=NO_METADATA)
    root = ElementTree.fromstring(buffer.getvalue())
    _tidy(root)
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def inline(text: str, name: str, label: str) -> str:
    """An SVG from `save` as an element of a page.

    Its ink is the page's `currentColor`, its paper the page's `--figure-paper`; its identifiers
    begin with `name`, so that several figures can stand in one page. `label` is read aloud in place
    of the picture.
    """
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
        for key, value in list(element.attrib.items()):
            element.set(key, _themed(_renamed(key, value, name)))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib.update({"role": "img", "aria-label": label, "class": "figure"})
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


@house_style
def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    canvas = FigureCanvasAgg(figure)
    before = figure.get_dpi(), figure.get_facecolor()
    figure.set_dpi(DPI)
    figure.set_facecolor(PAPER)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        canvas.print_png(buffer, metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    figure.set_dpi(before[0])
    figure.set_facecolor(before[1])
    return buffer.getvalue()


def _tidy(root: ElementTree.Element) -> None:
    """Without metadata and global rules, links as SVG 2 writes them, fonts of the reader's system."""
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
        link = parent.attrib.pop(f"{{{XLINK}}}href", None)
        if link is not None:
            parent.set("href", link)
        style = parent.get("style")
        if style and "font" in style:
            parent.set("style", re.sub(r"'DejaVu Sans'(, [^;]*)?", FONTS, style))


def _renamed(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return re.sub(r"^#", f"#{name}-", value)
    return re.sub(r"url\(#", f"url(#{name}-", value)


def _themed(value: str) -> str:
    return value.replace(INK, "currentColor").replace(PAPER, "var(--figure-paper, #fff)")
