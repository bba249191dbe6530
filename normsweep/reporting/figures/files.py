"""A figure as files, and as a part of a page."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import vl_convert

from normsweep.reporting.figures.theme import FONT, INK, PAPER
from normsweep.reporting.figures.vega import VERSION, Json

__all__ = ["inline", "on_page", "save", "svg_text"]

PNG_WIDTH = 1400.0
"""Pixels of a PNG from left to right."""
TRIES = 30
KEPT = 64
"""Figures that a process keeps as drawn, at about 200 KB each: a study that goes on has most of them again, and
`Study.report` those of the run."""
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
UNUSED = (
    "class", "role", "aria-hidden", "aria-roledescription", "aria-label", "pointer-events", "display",
)  # fmt: skip
NOWHERE = ("translate(0,0)", "")
PAGE_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def save(text: str, folder: Path, name: str) -> None:
    """Write an SVG from `svg_text` as `name.svg`, `.png` (white) and `.pdf` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(text, encoding="utf-8")
    (folder / f"{name}.png").write_bytes(_png(text))
    (folder / f"{name}.pdf").write_bytes(_pdf(text))


@functools.lru_cache(KEPT)
def _png(text: str) -> bytes:
    paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    white = re.sub(r"(<svg\b[^>]*>)", rf"\1{paper}", text, count=1)
    width = float(ElementTree.fromstring(text).get("width", PNG_WIDTH))
    return vl_convert.svg_to_png(white, scale=PNG_WIDTH / width)


@functools.lru_cache(KEPT)
def _pdf(text: str) -> bytes:
    """With a pixel as a 96th of an inch.

    Fonts and resources come in any order: it is made again until the fonts are in that of their names,
    and resources are sorted.
    """

    def in_points(size: re.Match[str]) -> str:
        return f'{size[1]}="{0.75 * float(size[2]):g}"'

    head, rest = text.split(">", 1)
    in_inches = re.sub(r'\b(width|height)="([\d.]+)"', in_points, head)
    made, fonts = b"", [b"?", b""]
    for _ in range(TRIES):
        if fonts != sorted(fonts):
            made = vl_convert.svg_to_pdf(f"{in_inches}>{rest}")
            fonts = re.findall(rb"/BaseFont /\w+\+(\S+)", made)
    return re.sub(
        rb"(?<=<<\n)(?: +/\w+ \d+ 0 R\n)+",
        lambda lines: b"".join(sorted(lines[0].splitlines(keepends=True))),
        made,
    )


def svg_text(spec: Json) -> str:
    """The figure as a standalone SVG: text as text, the same bytes every time."""
    return _drawn(json.dumps(_seen(spec)))


@functools.lru_cache(KEPT)
def _drawn(spec: str) -> str:
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(json.loads(spec), vl_version=VERSION))
    _tidy(root)
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _tidy(root: ElementTree.Element) -> None:
    """What Vega writes for a living chart as a picture, which is drawn in a tenth of the time.

    The paths that cut are counted from zero, where Vega counts from one figure to the next.
    """
    cuts: dict[bytes, str] = {}
    names = {"": ""}
    for path in root.iter(f"{{{SVG}}}clipPath"):
        name = cuts.setdefault(ElementTree.tostring(path[0]), f"cut{len(cuts)}")
        names[f"url(#{path.get('id')})"] = f"url(#{name})"
        path.set("id", name)
    for part in root.iter(f"{{{SVG}}}defs"):
        part[:] = list({path.get("id"): path for path in part}.values())
    root[:] = [each for child in root for each in _lean(child, names)]


def _lean(element: ElementTree.Element, cuts: dict[str, str]) -> list[ElementTree.Element]:
    """An element without what is not seen, and without groups that do nothing.

    Opacity becomes that of fill and stroke, for which nothing has to be painted apart; neighbours that
    are cut in the same way are cut together.
    """
    kind, has = element.tag.removeprefix(f"{{{SVG}}}"), element.attrib
    if kind in ("defs", "clipPath"):
        return [element]
    if kind == "path" and not has.keys() & {"fill", "stroke"}:
        return []
    for unused in UNUSED:
        has.pop(unused, None)
    cut = cuts[has.pop("clip-path", "")]
    if kind == "g":
        element[:] = [each for child in element for each in _lean(child, cuts)]
        if has.get("transform") in NOWHERE:
            del has["transform"]
        return _cut(list(element) if not has else [element], cut) if len(element) else []
    if (opacity := float(has.pop("opacity", 1))) < 1:
        for part in ("fill-opacity", "stroke-opacity"):
            has[part] = f"{opacity * float(has.get(part, 1)):g}"
    return _cut([element], cut)


def _cut(elements: list[ElementTree.Element], way: str) -> list[ElementTree.Element]:
    if not way:
        return _together(elements)
    group = ElementTree.Element(f"{{{SVG}}}g", {"clip-path": way})
    group.extend(elements)
    return [group]


def _together(elements: list[ElementTree.Element]) -> list[ElementTree.Element]:
    made: list[ElementTree.Element] = []
    for element in elements:
        if made and "clip-path" in element.attrib and made[-1].attrib == element.attrib:
            made[-1].extend(element)
        else:
            made.append(element)
    return made


def _seen(spec: Any) -> Any:
    """The spec without links, and without the layers that are there to be pointed at only."""
    if isinstance(spec, list | tuple):
        return [_seen(part) for part in spec if not _hidden(part)]
    if not isinstance(spec, dict):
        return spec
    return {key: _seen(part) for key, part in spec.items() if key != "href"}


def _hidden(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and isinstance(part.get("mark"), dict)
        and part["mark"].get("opacity") == 0
    )


def inline(text: str, name: str, label: str) -> str:
    """An SVG from `svg_text` as an element of a page.

    Its ink is the page's `currentColor`, its paper the page's `--figure-paper`; its identifiers
    begin with `name`, so that several figures can stand in one page. `label` is read aloud in place
    of the picture.
    """
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
        element.attrib.pop("font-family", None)
        link = element.attrib.pop(f"{{{XLINK}}}href", None)
        if link is not None:
            element.set("href", link)
        for key, value in list(element.attrib.items()):
            element.set(key, _themed(_renamed(key, value, name)))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib.update({"role": "img", "aria-label": label, "class": "figure"})
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def on_page(spec: Json) -> Json:
    """The spec as a page draws it (as SVG): in the page's ink and font, on its paper."""
    return json.loads(_themed(json.dumps(spec)).replace(FONT, PAGE_FONT))


def _renamed(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return re.sub(r"^#", f"#{name}-", value)
    return re.sub(r"url\(#", f"url(#{name}-", value)


def _themed(value: str) -> str:
    return value.replace(INK, "currentColor").replace(PAPER, "var(--figure-paper, #fff)")
