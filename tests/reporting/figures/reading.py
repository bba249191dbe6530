"""What a chart says: its parts, its numbers, its texts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from normsweep.reporting.figures import files
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.files import svg_text


def draw_anew() -> None:
    """Forget what this process has drawn."""
    for drawn in (files._drawn, files._png, files._pdf):
        drawn.cache_clear()


def parts(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The spec and all that it is made of, each with the encodings and transforms that it inherits."""
    yield spec
    inherited = {"encoding": {}, "transform": ()} | spec
    inner = [part for key in ("layer", "hconcat", "vconcat") for part in spec.get(key, ())]
    for part in [spec["spec"]] if "spec" in spec else inner:
        encoding = inherited["encoding"] | part.get("encoding", {})
        transform = [*inherited["transform"], *part.get("transform", ())]
        yield from parts({**part, "encoding": encoding, "transform": transform})


def panels(figure: Figure) -> list[dict[str, Any]]:
    """The parts of a figure that have axes of their own."""
    spec = figure.spec()
    return spec.get("hconcat") or spec.get("vconcat") or [spec]


def limits(panel: dict[str, Any], channel: str = "y") -> tuple[float, float]:
    """What lies at the lower and at the upper edge, or at the left and at the right one."""
    scales = [part["encoding"][channel].get("scale") for part in parts(panel)
              if channel in part.get("encoding", {})]  # fmt: skip
    scale = next(each for each in scales if each and "domain" in each)
    low, high = scale["domain"]
    return (high, low) if scale.get("reverse") else (low, high)


def tables(figure: Figure) -> list[pd.DataFrame]:
    """All tables in a figure's spec."""
    texts = figure.spec()["datasets"].values()
    return [pd.read_csv(io.StringIO(text)) for text in texts if isinstance(text, str)]


def texts(figure: Figure | dict[str, Any]) -> list[str]:
    """All texts that one sees in a figure, or in a chart's spec."""
    root = ElementTree.fromstring(svg_text(figure if isinstance(figure, dict) else figure.spec()))
    return ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("}text")]


def width(figure: Figure) -> float:
    """The width of the figure as it is drawn, in pixels."""
    return float(ElementTree.fromstring(svg_text(figure.spec())).get("width", "nan"))
