"""The scripts that draw a page's figures: bundled once for each version of vl-convert, and cached."""

from __future__ import annotations

import base64
import contextlib
import gzip
import zlib
from importlib.metadata import version
from pathlib import Path

from normsweep.cache import cache_folder, made_at_once

__all__ = ["bundle"]

SNIPPET = "window.vegaEmbed = vegaEmbed;"
"""What the bundle gives to the page; Vega and Vega-Lite are behind it."""


def bundle() -> str:
    """vega-embed with Vega and Vega-Lite as a script: gzip in base64, 410 KB in place of 900.

    Making it takes a second and a half; it is read from the cache folder if it is there, and is not
    cached if the folder cannot be written.
    """
    packed = _cached(cache_folder() / f"vega-embed-{version('vl-convert-python')}.js.gz")
    return base64.b64encode(packed).decode("ascii")


def _cached(file: Path) -> bytes:
    try:
        packed = file.read_bytes()
        gzip.decompress(packed)  # verifies its checksum
    except (OSError, EOFError, zlib.error):
        import vl_convert

        packed = _packed(vl_convert.javascript_bundle(SNIPPET))
        with contextlib.suppress(OSError), made_at_once(file) as made:
            made.write_bytes(packed)
    return packed


def _packed(text: str) -> bytes:
    """Compressed, the same bytes every time."""
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)
