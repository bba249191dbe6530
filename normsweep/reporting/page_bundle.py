"""The scripts that draw a page's figures: bundled once for each version of vl-convert, and cached."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import tempfile
import zlib
from importlib.metadata import version
from pathlib import Path

__all__ = ["bundle", "cache_folder"]

SNIPPET = "window.vegaEmbed = vegaEmbed;"
"""What the bundle gives to the page; Vega and Vega-Lite are behind it."""


def bundle() -> str:
    """vega-embed with Vega and Vega-Lite as a script: gzip in base64, 410 KB in place of 900.

    Making it takes a second and a half; it is read from the cache folder if it is there, and is not
    cached if the folder cannot be written.
    """
    packed = _cached(cache_folder() / f"vega-embed-{version('vl-convert-python')}.js.gz")
    return base64.b64encode(packed).decode("ascii")


def cache_folder() -> Path:
    """The user's folder for caches: `normsweep` in `$XDG_CACHE_HOME` or `~/.cache`."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(folder) / "normsweep"


def _cached(file: Path) -> bytes:
    try:
        packed = file.read_bytes()
        gzip.decompress(packed)  # verifies its checksum
    except (OSError, EOFError, zlib.error):
        import vl_convert

        packed = _packed(vl_convert.javascript_bundle(SNIPPET))
        _keep(packed, file)
    return packed


def _packed(text: str) -> bytes:
    """Compressed, the same bytes every time."""
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def _keep(content: bytes, file: Path) -> None:
    """Write the file at once, so that no other process reads a part of it; nothing if it cannot be written."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder) / file.name
            made.write_bytes(content)
            made.replace(file)
