import io
import json
import math
from typing import get_args

import pandas as pd
import pytest

from normsweep.analysis.trials import arm_summaries
from normsweep.reporting.formats import FORMATS, Format, render
from normsweep.reporting.tables import arms_table, best_table, epochs_table, trials_table
from normsweep.sweep.trial import Status
from normsweep.text import as_markdown

AWKWARD = "a_b & c | <b>x</b> 50% $1 #2 {3} ~^\\"


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [0, 1],
            "arm": ["sample_standardize", AWKWARD],
            "val_accuracy": [0.1 + 0.2, math.nan],
            "learning_rate": [1 / 3e5, 1 / 3],
            "seconds": [12.345, 0.0],
            "fingerprint": ["0123456789" * 6, "f" * 60],
            "error": ["", "two\nlines"],
        }
    )


def text(table: pd.DataFrame, kind: Format) -> str:
    return render(table, kind).decode()


def test_csv_keeps_every_digit(table):
    back = pd.read_csv(io.BytesIO(render(table, "csv")), keep_default_na=False)
    assert back["learning_rate"].tolist() == table["learning_rate"].tolist()
    assert back["val_accuracy"].tolist() == ["0.30000000000000004", ""]
    assert back["arm"].tolist() == table["arm"].tolist()
    assert back["error"].tolist() == ["", "two\nlines"]


def test_json_keeps_every_digit_and_has_null_for_what_it_lacks(table):
    table.loc[0, "seconds"] = math.inf
    rows = json.loads(render(table, "json"), parse_constant=lambda name: pytest.fail(name))
    assert [row["learning_rate"] for row in rows] == table["learning_rate"].tolist()
    assert [row["val_accuracy"] for row in rows] == [0.1 + 0.2, None]
    assert [row["seconds"] for row in rows] == [None, 0.0]
    assert [row["arm"] for row in rows] == table["arm"].tolist()
    assert list(rows[0]) == list(table)


def test_parquet_gives_the_table_back(table):
    back = pd.read_parquet(io.BytesIO(render(table, "parquet")))
    pd.testing.assert_frame_equal(back, table)


def test_html_keeps_every_digit_and_escapes(table):
    page = text(table, "html")
    assert "<td>0.30000000000000004</td>" in page
    assert f"<td>{1 / 3e5!r}</td>" in page
    assert "a_b &amp; c | &lt;b&gt;x&lt;/b&gt;" in page
    assert f"<td>{'0123456789' * 6}</td>" in page
    assert "nan" not in page.lower()


def test_markdown_rounds_cuts_and_escapes(table):
    head, rule, first, second = text(table, "markdown").splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == list(table)
    assert rule.count("|") == len(table.columns) + 1
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert cells == ["0", "sample_standardize", "0.3000", "3.33e-06", "12.3", "01234567", ""]
    assert "a_b & c \\| &lt;b>x&lt;/b>" in second
    assert second.count("|") - second.count("\\|") == len(table.columns) + 1
    assert "two lines" in second


def test_columns_with_nothing_in_them_are_left_out_for_people(table):
    table["same_as"] = ""
    assert "same_as" not in text(table, "markdown")
    assert "same_as" in text(table, "csv")


@pytest.fixture
def tables(record) -> list[pd.DataFrame]:
    """Every table of a study with a parameter of one optimizer only, and of an empty one."""
    made = [
        record(0, "none", params={"momentum": 0.9, "nesterov": True}),
        record(1, "none", (), Status.CRASHED, error=AWKWARD),
        record(2, "unit", (), Status.TIMED_OUT),
    ]
    arms = ["none", "unit"]
    return [
        table
        for records in (made, [])
        for table in (
            trials_table(records),
            epochs_table(records),
            best_table(records, arms),
            arms_table(arm_summaries(records, arms)),
        )
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_table_can_be_written_in_every_format(tables, kind):
    for table in tables:
        content = render(table, kind)
        if kind == "parquet":
            back = pd.read_parquet(io.BytesIO(content))
            assert list(back) == list(table)
            assert len(back) == len(table)
        else:
            assert content.endswith(b"\n")
            assert b"<NA>" not in content
            assert b"&lt;NA&gt;" not in content


def test_whole_numbers_stay_whole_where_one_is_missing(tables):
    arms = tables[3]
    assert [row["best_epochs"] for row in json.loads(render(arms, "json"))] == [2, None]
    head, first, *_ = (line.split(",") for line in text(arms, "csv").splitlines())
    assert dict(zip(head, first, strict=True))["best_epochs"] == "2"


def test_the_formats_are_those_of_the_command():
    assert get_args(Format) == FORMATS == ("csv", "json", "markdown", "parquet", "html")


def test_a_spreadsheet_is_given_no_formula():
    cells = ["=1+1", "+1|cmd", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "-0.5", "−0.5", "a=b", "a\rb"]
    table = pd.DataFrame(
        {"text": cells, "number": [-1.5] * 10, "whole": pd.array([-1, None] * 5, "Int64")}
    )
    back = pd.read_csv(io.BytesIO(render(table, "csv")), keep_default_na=False, dtype=str)
    assert back["text"].tolist() == [
        "'=1+1", "'+1|cmd", "'-1+1", "'@SUM(A1)", "'\t=1", "'\n=1", "-0.5", "−0.5", "a=b", "a\nb",
    ]  # fmt: skip
    assert set(back["number"]) == {"-1.5"}
    assert back["whole"].tolist() == ["-1", ""] * 5


def test_a_table_for_people_drives_no_terminal():
    table = pd.DataFrame({"arm": ["\x1b]0;title\x07\x1b[31mred\x1b[0m"], "error": ["a\u202eb\x9b"]})
    assert text(table, "markdown").replace("\n", "").isprintable()


def test_markdown_has_neither_links_nor_markup_of_a_cells_own():
    cells = [
        "[x](javascript:alert(1))",
        "![x](http://h/y.png)",
        "`code`",
        "**bold**",
        "_it_",
        "a_b_c",
    ]
    rows = text(pd.DataFrame({"arm": cells}), "markdown").splitlines()[2:]
    assert [row.strip("| ") for row in rows] == [
        r"\[x\](javascript:alert(1))", r"!\[x\](http://h/y.png)", r"\`code\`", r"\*\*bold\*\*",
        r"\_it\_", "a_b_c",
    ]  # fmt: skip


@pytest.mark.parametrize("opening", ["# ", "> ", "- ", "+ ", "* "])
def test_a_text_in_markdown_opens_nothing(opening):
    assert as_markdown(f"{opening}a\n\n# b") == f"\\{opening}a # b"
