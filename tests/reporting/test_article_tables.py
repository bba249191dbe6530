"""The tables of a study in an article: columns, captions, widths, and that all compile."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from normsweep import export
from normsweep.analysis.evidence import evidence
from normsweep.parts.metrics import metric
from normsweep.reporting.article_tables import COLUMNS, article_table
from normsweep.reporting.latex import escaped, latex_table
from normsweep.reporting.methods import paragraph
from normsweep.reporting.tables import study_table
from tests.analysis.conftest import LONG

AWKWARD = "a_b & c | <b>x</b> 50% $1 #2 {3} ~^\\"
NAMES = [
    "best", "budgets", "trials", "epochs", "arms", "endings", "verdict", "summary", "seeds", "exchange", "mechanism"
]  # fmt: skip


def tables(record):
    return {name: article_table(name, study_table(record, name), record) for name in NAMES}


def document(record, packages: str) -> str:
    parts = [latex_table(table) for table in tables(record).values()]
    body = "\n\n".join([*parts, escaped(paragraph(evidence(record)))])
    return (
        f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )


def test_every_table_of_the_command_has_a_form_for_articles():
    named = get_args(get_type_hints(export.export, include_extras=False)["table"])
    assert [name for name in named if name != "methods"] == NAMES == list(COLUMNS)


def test_tables_have_up_to_ten_columns_and_a_caption_each(confirmed_record):
    made = tables(confirmed_record())
    assert all(6 <= len(table.heads) <= 10 for table in made.values())
    assert len({table.caption for table in made.values()}) == len(made)
    assert {name: table.label for name, table in made.items()} == {
        name: f"tab:mnist-{name}" for name in NAMES
    }


def test_heads_have_units_and_cells_are_rounded(confirmed_record):
    made = tables(confirmed_record())
    summary = made["summary"]
    assert summary.heads[5:] == ("Test acc.\n(%)", "Lowest", "Highest", "Trained")
    assert summary.rows[0] == (
        "none", "baseline", "adam", "0.001", "4", "80.00 ± 0.00", "80.00", "80.00", "5 of 5"
    )  # fmt: skip
    exchange = made["exchange"]
    assert [row[4] for row in exchange.rows[:3]] == ["6.0", "> 6", "> 6"]
    assert "equivalence margin 0.2 percentage points" in made["verdict"].caption
    assert "Gap\n(pp)" in made["verdict"].heads


def test_a_bound_of_a_part_is_not_rounded_to_zero():
    columns = {column.head: column.text for column in COLUMNS["mechanism"](metric("accuracy"))}
    assert columns["Interval\n(pp)"]({"low": 0.00003, "high": 0.004}) == "+0.003 to +0.40"


def test_a_question_that_repeats_another_has_one_row(confirmed_record):
    made = tables(confirmed_record(confirm__baseline__epochs=LONG))["verdict"]
    questions = ["equal epochs", "arm tuned", "both tuned"]
    assert [row[0] for row in made.rows] == questions


def test_rows_of_a_table_are_called_rows(confirmed_record):
    record = confirmed_record()
    assert record.data is not None
    of_rows = replace(record, data=replace(record.data, sample="row"))
    caption = tables(of_rows)["verdict"].caption
    assert "for new seeds and new rows" in caption
    assert "10,000 test rows" in caption
    assert "10,000 test rows were kept apart" in paragraph(evidence(of_rows))


def test_what_all_trials_lack_has_no_column(confirmed_record):
    made = tables(confirmed_record())
    assert "Ended" in made["trials"].heads  # some diverged in the search
    assert "Ended" not in made["seeds"].heads


ENGINE = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


def compiled(text: str, folder: Path) -> str:
    (folder / "tables.tex").write_text(text)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "tables.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert (folder / "tables.pdf").stat().st_size > 0
    return said


@ENGINE
@pytest.mark.system
@pytest.mark.parametrize(
    "packages",
    ["\\usepackage{longtable}", "\\usepackage{longtable,booktabs,graphicx}"],
    ids=["bare", "loaded"],
)
def test_every_table_compiles_and_fits_the_line(confirmed_record, tmp_path, packages):
    text = document(confirmed_record(("raw pixels", "÷255 (unit)")), packages)
    said = compiled(text, tmp_path)
    assert "Missing character" not in said
    assert not re.findall(r"Overfull .*", said)


@ENGINE
@pytest.mark.system
def test_names_that_look_like_markup_compile(confirmed_record, tmp_path):
    record = confirmed_record((AWKWARD, "[été] sample_standardize"), study=AWKWARD[:12])
    said = compiled(document(record, "\\usepackage{longtable,booktabs,graphicx}"), tmp_path)
    assert "Missing character" not in said


@ENGINE
@pytest.mark.system
def test_a_study_without_trials_compiles(confirmed_record, tmp_path):
    record = replace(confirmed_record(), trials=())
    names = ("best", "budgets", "trials", "epochs", "arms")
    parts = [latex_table(article_table(n, study_table(record, n), record)) for n in names]
    body = "\n".join(parts)
    compiled(
        f"\\documentclass{{article}}\n\\begin{{document}}\n{body}\n\\end{{document}}", tmp_path
    )
