"""The user's cache: files that take long to make, and can be made again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_folder", "made_at_once"]


def cache_folder() -> Path:
    """The folder of normsweep in the user's cache: `XDG_CACHE_HOME`, `LOCALAPPDATA` or `~/.cache`."""
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(os.path.expanduser(given or "~/.cache")).absolute() / "normsweep"


@contextmanager
def made_at_once(file: Path) -> Iterator[Path]:
    """Where to write a file that gets its name when it is whole, as several processes may make it at once.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".making-") as folder:
        made = Path(folder) / file.name
        yield made
        made.replace(file)
