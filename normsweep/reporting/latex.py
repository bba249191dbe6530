"""LaTeX: text, and tables with caption and label that fit the width of an article."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from normsweep.reporting.cells import is_numeric

__all__ = ["ArticleTable", "escaped", "latex_table"]

NAME, SENTENCE = 14, 40
"""Characters from which the cells of a column are broken into narrow lines, and into wide ones."""
NARROW, WIDE = "p{7em}", "p{4cm}"
LINE = 66
"""Characters of a table that fit the line of an article in footnotesize, the space between columns apart."""
LONG = 40
"""Rows from which a table is a longtable, which may be broken over pages."""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": r"$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\ldots{}",
    "\u00a0": "~",
}
POWER = re.compile(r"(\d(?:\.\d+)?)e([+-]?)0*(\d+)")
"""A number like 1.2e-05."""
BETWEEN = re.compile(r" (?:±|to|of) |^> |^–$")
"""What a column of numbers has between or beside them."""
FALLBACKS = (
    r"\providecommand{\toprule}{\hline}",
    r"\providecommand{\midrule}{\hline}",
    r"\providecommand{\bottomrule}{\hline}",
    r"\providecommand{\resizebox}[3]{#3}",
)
"""For an article without the packages booktabs and graphicx."""
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


@dataclass(frozen=True)
class ArticleTable:
    """A table to be printed, all of it text."""

    caption: str
    label: str
    """Of the reference: letters, digits, `-` and `:`."""
    heads: tuple[str, ...]
    """A line break in a head is one in the table."""
    rows: tuple[tuple[str, ...], ...]


def latex_table(table: ArticleTable) -> str:
    """A floating table, or a longtable if it has very many rows.

    It compiles in any article, a longtable if the package longtable is loaded. With booktabs the rules are finer,
    and with graphicx a floating table is never wider than the line.
    """
    lines = _longtable(table) if len(table.rows) > LONG else _float(table)
    return "\n".join((*FALLBACKS, *lines)) + "\n"


def _float(table: ArticleTable) -> Iterable[str]:
    yield from (r"\begin{table}[htbp]", r"\centering", *_caption(table), r"\smallskip")
    yield from (*_small(table), FITTED, rf"\begin{{tabular}}{{@{{}}{''.join(_kinds(table))}@{{}}}}")
    yield from (*_head(table), *_rows(table), r"\bottomrule")
    yield from (r"\end{tabular}%", "}", r"\end{table}")


def _longtable(table: ArticleTable) -> Iterable[str]:
    yield from ("% needs \\usepackage{longtable}", r"\begingroup", *_small(table))
    yield rf"\begin{{longtable}}{{@{{}}{''.join(_kinds(table))}@{{}}}}"
    yield from (" ".join(_caption(table)) + r" \\", *_head(table), r"\endfirsthead")
    yield from (*_head(table), r"\endhead", r"\bottomrule", r"\endfoot")
    yield from (*_rows(table), r"\end{longtable}", r"\endgroup")


def _small(table: ArticleTable) -> Iterable[str]:
    """A size of the letters in which the table fits the line."""
    most = {NARROW: NAME, WIDE: SENTENCE // 2}
    widths = [
        min(max(map(len, (*head.split("\n"), *cells))), most.get(kind, SENTENCE))
        for head, kind, cells in zip(table.heads, _kinds(table), _cells(table), strict=True)
    ]
    small = sum(widths) > LINE
    yield r"\scriptsize" if small else r"\footnotesize"
    yield rf"\setlength{{\tabcolsep}}{{{'2.5pt' if small else '3pt'}}}"


def _caption(table: ArticleTable) -> Iterable[str]:
    if table.caption:
        yield rf"\caption{{{escaped(table.caption)}}}"
        yield rf"\label{{{table.label}}}"


def _head(table: ArticleTable) -> Iterable[str]:
    heads = (
        _stacked(head, "r" if kind == "r" else "l")
        for head, kind in zip(table.heads, _kinds(table), strict=True)
    )
    return (r"\toprule", " & ".join(heads) + r" \\", r"\midrule")


def _stacked(head: str, side: str) -> str:
    lines = [escaped(line) for line in head.split("\n")]
    if len(lines) == 1:
        return lines[0]
    stack = r" \\ ".join(lines)
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stack}\end{{tabular}}"


def _rows(table: ArticleTable) -> Iterable[str]:
    kinds = _kinds(table)
    for cells in table.rows:
        row = " & ".join(map(_cell, cells, kinds))
        # After the end of a row, LaTeX would read these as an option of that end.
        yield ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"


def _cell(text: str, kind: str) -> str:
    power = POWER.fullmatch(text)
    if power:
        return rf"${power[1]}\times10^{{{power[2].replace('+', '')}{power[3]}}}$"
    if kind in (NARROW, WIDE):
        text = escaped(text).replace(r"\_", r"\_\allowbreak ")
        return rf"\raggedright\let\\\tabularnewline {text}"
    return escaped(text)


def _kinds(table: ArticleTable) -> list[str]:
    """Right for numbers, left for text, lines of a fixed width for long texts."""
    return [_kind(cells) for cells in _cells(table)]


def _kind(cells: Sequence[str]) -> str:
    if all(is_numeric(BETWEEN.split(cell)) for cell in cells):
        return "r"
    longest = max(map(len, cells), default=0)
    return WIDE if longest > SENTENCE else NARROW if longest > NAME else "l"


def _cells(table: ArticleTable) -> list[list[str]]:
    """The cells of each column."""
    return [[row[place] for row in table.rows] for place in range(len(table.heads))]


def escaped(text: str) -> str:
    """A text as LaTeX shows it."""
    return "".join(SPECIAL.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in str(text))
