"""A study in a notebook's kernel: functions of its cells, progress in place, results that show themselves."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.system

CELLS = [
    """
import keras
import numpy as np
import normsweep
from normsweep.parts import normalizations

UNITS = 4

@normalizations.register("of_a_cell")
def of_a_cell(train):
    "Divided by the largest magnitude of the training split."
    return [keras.layers.Rescaling(1 / np.abs(train).max())]

def build(input_shape, classes):
    return keras.Sequential([
        keras.Input(input_shape), keras.layers.Dense(UNITS),
        keras.layers.Dense(classes, activation="softmax"),
    ])

y = np.arange(90) % 3
x = np.random.default_rng(0).normal(size=(90, 5)) * 50 + y[:, None]
sweep = {
    "name": "cells", "reference": "of_a_cell", "question": "<b>bold</b>",
    "search": {"trials": 2, "space": {
        "normalization": ["none", "of_a_cell"], "learning_rate": 0.01, "optimizer": "adam", "epochs": 2}},
}
""",
    "study = normsweep.run(sweep, (x[:60], y[:60], x[60:], y[60:]), build, phase='search', device='cpu')",
    "study",
    "study.best()['arm'].tolist()",
    "study.answer",
]


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> list[nbformat.NotebookNode]:
    """The cells after they were run, in a folder of their own; the last one fails."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    folder = str(tmp_path_factory.mktemp("notebook"))
    client = NotebookClient(
        notebook, timeout=400, allow_errors=True, resources={"metadata": {"path": folder}}
    )
    client.execute()
    return notebook.cells


def shown(cell: nbformat.NotebookNode, kind: str) -> str:
    return "".join(o.get("data", {}).get(kind, "") for o in cell.outputs)


def test_progress_is_one_output_that_is_renewed(cells):
    pages = [o.data["text/html"] for o in cells[1].outputs if "text/html" in o.get("data", {})]
    (page,) = pages
    assert "2 of 2 trials" in page
    assert re.findall(r"<td>(\w+)</td><td><progress value='1' max='1'>", page) == [
        "none",
        "of_a_cell",
    ]
    said = "".join(o.text for o in cells[1].outputs if o.output_type == "stream")
    assert "cells: best trial of each arm" in said
    assert "1/2 trial" not in said


def test_a_study_shows_itself_with_text_as_text(cells):
    html = shown(cells[2], "text/html")
    assert "<h4>cells</h4>" in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "<b>bold" not in html
    assert "No answer yet" in html
    assert html.count("of_a_cell") == 1
    assert shown(cells[2], "text/plain") == "Study(name='cells')"


def test_tables_are_there_and_a_mistake_is_an_exception(cells):
    assert sorted(eval(shown(cells[3], "text/plain"))) == ["none", "of_a_cell"]
    (error,) = [o for o in cells[4].outputs if o.output_type == "error"]
    assert error.ename == "StoreError"
    assert "has no verdict yet" in error.evalue
