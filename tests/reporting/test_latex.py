"""Tables in LaTeX: escaping, widths, long ones, and what they need."""

import re

from normsweep.reporting.latex import ArticleTable, escaped, latex_table

AWKWARD = "a_b & c | <b>x</b> 50% $1 #2 {3} ~^\\"


def made(cells: dict[str, list[str]], caption: str = "Some trials.") -> list[str]:
    rows = tuple(zip(*cells.values(), strict=True))
    return latex_table(ArticleTable(caption, "tab:some", tuple(cells), rows)).splitlines()


def balanced(latex: str) -> bool:
    """Whether braces, dollars and environments that are no text are closed in their order."""
    depth = 0
    for sign in re.findall(r"(?<!\\)(?:\\\\)*([{}])", latex):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            return False
    dollars = re.findall(r"(?<!\\)\$", latex)
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", latex) for word in ("begin", "end"))
    return depth == 0 and len(dollars) % 2 == 0 and sorted(begun) == sorted(ended)


def test_text_is_escaped():
    assert escaped(AWKWARD) == (
        r"a\_b \& c \textbar{} \textless{}b\textgreater{}x\textless{}/b\textgreater{} 50\% \$1 \#2 "
        r"\{3\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escaped("−0.62 ≤ 3 × 4 ÷ 5 ≥ … ± 1") == (
        r"$-$0.62 $\leq$ 3 $\times$ 4 $\div$ 5 $\geq$ \ldots{} $\pm$ 1"
    )


def test_a_table_has_caption_label_and_rules():
    lines = made({"Arm": ["unit", "none"], "Val.\n(%)": ["99.1", "98.20"]}, "50 % of them.")
    assert r"\caption{50 \% of them.}" in lines
    assert r"\label{tab:some}" in lines
    begin = lines.index(r"\begin{tabular}{@{}lr@{}}")
    assert lines[begin + 1] == r"\toprule"
    assert lines[begin + 2] == r"Arm & \begin{tabular}[b]{@{}r@{}}Val. \\ (\%)\end{tabular} \\"
    assert lines[begin + 4 : begin + 7] == [r"unit & 99.1 \\", r"none & 98.20 \\", r"\bottomrule"]


def test_it_needs_no_package_and_is_never_wider_than_the_line():
    lines = made({"Arm": ["unit"]})
    assert lines[:4] == [
        r"\providecommand{\toprule}{\hline}",
        r"\providecommand{\midrule}{\hline}",
        r"\providecommand{\bottomrule}{\hline}",
        r"\providecommand{\resizebox}[3]{#3}",
    ]
    assert r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" in lines


def test_numbers_are_at_the_right_and_long_texts_are_broken():
    lines = made(
        {
            "number": ["−0.62", "1"],
            "spread": ["97.1 ± 0.3", ""],
            "interval": ["−1.2 to 3", "1 to 2"],
            "epochs": ["> 12", "–"],
            "name": ["sample_standardize", "a"],
            "said": ["long " * 20, "short"],
        }
    )
    assert r"\begin{tabular}{@{}rrrrp{7em}p{4cm}@{}}" in lines
    cell = r"\raggedright\let\\\tabularnewline sample\_\allowbreak standardize"
    assert any(cell in line for line in lines)


def test_powers_of_ten_are_written_as_such():
    assert r"$3.2\times10^{-5}$ \\" in made({"rate": ["3.2e-05"]})
    assert r"$1\times10^{10}$ \\" in made({"rate": ["1e+10"]})


def test_a_cell_is_no_option_of_the_row_before():
    assert {r"{}[x] \\", r"{}*y \\"} < set(made({"Arm": ["[x]", "*y"]}))


def test_a_wide_table_has_small_letters():
    assert r"\footnotesize" in made({"a": ["1"]})
    assert r"\scriptsize" in made({f"column {n}": ["1"] for n in range(9)})


def test_a_long_table_breaks_over_pages():
    lines = made({"Trial": [str(n) for n in range(41)]})
    assert r"% needs \usepackage{longtable}" in lines
    assert r"\begin{longtable}{@{}r@{}}" in lines
    assert not any("begin{table}" in line for line in lines)
    assert lines.index(r"\endfirsthead") < lines.index(r"\endhead") < lines.index(r"40 \\")


def test_a_table_is_balanced_and_has_no_bare_sign():
    for count in (2, 50):
        latex = "\n".join(made({AWKWARD: [AWKWARD, "≤ été"] * (count // 2)}, AWKWARD))
        assert balanced(latex), latex
        assert not set(latex) & set("−×≥≤…")


def test_a_table_without_rows_has_its_heads():
    assert any(line.startswith("Arm & Trials") for line in made({"Arm": [], "Trials": []}))
