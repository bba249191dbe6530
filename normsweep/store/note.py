"""The note of an Optuna study in Optuna's dashboard: a text in Markdown, which users can edit there.

It is stored as `optuna_dashboard.save_note` stores it, without the dashboard, which need not be installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from normsweep.store.optuna_tables import StudyTables

__all__ = ["write_note"]

VERSION, PART = "dashboard:note_ver", "dashboard:note_str:"
"""System attributes: how often the note was written; prefix of its parts, before their numbers."""
OURS = "dashboard:note:normsweep"
"""System attribute: SHA-256 of the note that was written here last. The dashboard does not show it."""
PREFIX = "dashboard:note"
LENGTH = 2045
"""Characters of a part."""


def write_note(study: StudyTables, note: str) -> None:
    """Write a study's note, unless a user has written or edited it."""
    found = study.system_attrs(PREFIX)
    before = {key: found[key] for key in found if key in (VERSION, OURS) or key.startswith(PART)}
    was = _note(before)
    edited = VERSION in before and before.get(OURS) != _digest(was)
    if edited or was == note:
        return
    parts = (note[start : start + LENGTH] for start in range(0, len(note), LENGTH))
    after = {VERSION: before.get(VERSION, 0) + 1, OURS: _digest(note), **_numbered(parts)}
    study.replace_system_attrs(before, after)  # False: a user was faster


def _note(attrs: Mapping[str, Any]) -> str:
    parts = sum(key.startswith(PART) for key in attrs)
    return "".join(attrs.get(f"{PART}{number}", "") for number in range(parts))


def _numbered(parts: Iterable[str]) -> dict[str, str]:
    return {f"{PART}{number}": part for number, part in enumerate(parts)}


def _digest(note: str) -> str:
    return hashlib.sha256(note.encode()).hexdigest()
