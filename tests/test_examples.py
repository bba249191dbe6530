"""The examples are run as they are: notebooks in a kernel, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parent.parent / "examples"
ANSWERS = {
    "own_data": ("“none” is clearly behind “standardize” by ", "text/html"),
    "own_parts": ("“none”", "text/html"),
}
SLOW = {"own_data"}
"""Trained for minutes: among the slow tests."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
        for path in sorted(EXAMPLES.glob("*.ipynb"))
    ],
)
def test_a_notebook_ends_with_a_verdict(name, tmp_path):
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=400, resources=resources).execute()
    (shown,) = [cell for cell in notebook.cells if cell.source == "study.answer"]
    said = "".join(output.get("data", {}).get("text/html", "") for output in shown.outputs)
    assert ANSWERS[name][0] in said
