"""Text as a terminal or a page may be given it."""

from __future__ import annotations

import re

__all__ = ["UNSEEN", "one_line", "printable"]

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that nobody sees: controls but tab and newline, those that turn text round, halves."""
COLOUR = re.compile("\x1b\\[[0-9;]*m")


def printable(text: str) -> str:
    """The text with escapes for characters that would drive a terminal; colours are left out."""
    plain = COLOUR.sub("", text.replace("\r\n", "\n"))
    return UNSEEN.sub(lambda found: _escape(found.group()), plain)


def one_line(text: str) -> str:
    """The same, its line breaks escaped too."""
    return printable(text).replace("\n", "\\n")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
