"""How another metric than the accuracy is told and drawn: its unit, its direction, up is better."""

import pandas as pd
import pytest

from normsweep.parts.metrics import metric
from normsweep.reporting.answer import answer_sentence, verdict_lines
from normsweep.reporting.figures.accuracy import draw_accuracy
from normsweep.reporting.figures.accuracy_panels import accuracy_panels
from normsweep.reporting.figures.forest import draw_forest
from normsweep.reporting.figures.learning_rate import draw_learning_rate
from normsweep.reporting.figures.style import Style
from normsweep.reporting.verdict_cells import verdict_cells
from normsweep.reporting.words import between, percent, points

LOSS = metric("log_loss")
STYLE = Style(("none", "unit"), "unit", metric=LOSS)
CURVES = pd.DataFrame(
    [
        (arm, "baseline", epoch, worse + 0.4 / epoch, worse + 0.35 / epoch, worse + 0.5 / epoch, 5)
        for arm, worse in (("none", 0.1), ("unit", 0.0))
        for epoch in range(1, 6)
    ],
    columns=["arm", "configuration", "epoch", "log_loss", "low", "high", "seeds"],
)
VERDICT = {
    "question": "equal_epochs", "arm": "none", "reference": "unit", "epoch": None, "epoch_low": None,
    "horizon": 5, "gap": 0.1, "low": 0.08, "high": 0.12, "seeds_low": 0.09, "seeds_high": 0.11,
    "log_loss": 0.18, "reference_log_loss": 0.08, "seeds": 5, "images": 360, "margin": 0.03,
    "confidence": 0.95, "level": 0.95, "look": 1, "method": "", "diverged": 0,
    "reference_diverged": 0, "more_seeds": "", "primary": True, "warnings": "", "metric": "log_loss",
    "verdict": "does not catch up within 5 epochs", "word": "does not catch up",
}  # fmt: skip


def verdicts(**changed) -> pd.DataFrame:
    return pd.DataFrame([{**VERDICT, **changed}])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (points(0.01234, by=LOSS), "+0.0123 nats"),
        (points(-0.03, sign=False, by=LOSS), "0.03 nats"),
        (points(1.0, sign=False, by=LOSS), "1 nat"),
        (points(0.01, by=metric("f1_macro")), "+1.00 points"),
        (between(-0.001, 0.002, LOSS), "−0.0010 to +0.0020"),
        (percent(0.04312, by=LOSS), "0.0431"),
        (percent(0.9, by=metric("roc_auc")), "90.00 %"),
    ],
)
def test_values_and_differences_have_the_metrics_unit(written, expected):
    assert written == expected


def test_a_higher_loss_is_behind():
    sentence = answer_sentence(verdicts(), "normalization", "unit")
    assert sentence.startswith(
        "No: with the baseline settings and equal epochs, “none” is 0.1 nats"
    )
    assert "behind “unit” after 5 epochs (95 % interval 0.08 to 0.12 nats;" in sentence
    assert "0.03 nats would have passed" in sentence
    open_ = verdicts(word="not enough evidence", verdict="not enough evidence: more", low=-0.02)
    undecided = answer_sentence(open_, "normalization", "unit")
    assert "anywhere from 0.12 nats behind to 0.02 nats ahead of “unit”" in undecided


def test_tables_have_gaps_in_their_unit():
    (line,) = verdict_lines(verdicts()).to_dict("records")
    assert line["gap_in_nats"] == "+0.1000 (+0.0800 to +0.1200)"
    (cells,) = verdict_cells(verdicts()).to_dict("records")
    assert (cells["gap"], cells["margin"]) == ("+0.1000", "0.03")


def test_up_is_better_and_ticks_say_what_it_is():
    (panel,) = accuracy_panels(CURVES, verdicts(), STYLE)
    none, unit = panel.curves
    assert (none.level < unit.level).all()
    assert unit.level.tolist() == (-CURVES["log_loss"][5:]).tolist()
    figure = draw_accuracy(CURVES, verdicts(), STYLE)
    assert figure is not None
    axes = figure.axes[0]
    assert axes.get_ylabel() == "log loss on the test images"
    low, high = axes.get_ylim()
    assert low < -0.2 < -0.08 < high  # sixteen margins, from the best values down
    formatted = axes.yaxis.get_major_formatter()
    assert [formatted(v) for v in (-0.25, 0.0)] == ["0.25", "0.00"]


def test_the_forest_has_what_is_better_to_the_right():
    figure = draw_forest(verdicts(), STYLE)
    assert figure is not None
    axes = figure.axes[0]
    (mark,) = [line for line in axes.lines if line.get_label() == "equal_epochs none"]
    assert list(mark.get_xdata()) == [-0.1]
    assert axes.xaxis.get_major_formatter()(-0.1) == "+0.1"
    assert axes.get_xlabel() == "nats of log loss against the reference; better to the right"
    assert any("+0.1000 (+0.0800 to +0.1200)" in text.get_text() for text in axes.texts)


def test_trials_of_the_search_are_drawn_by_their_score():
    trials = pd.DataFrame(
        [(i, "none", "adam", 10.0**-i, 0.1 * i, 4, False) for i in range(1, 5)],
        columns=[
            "trial",
            "arm",
            "optimizer",
            "learning_rate",
            "val_log_loss",
            "epochs",
            "diverged",
        ],
    )
    figure = draw_learning_rate(trials, STYLE)
    assert figure is not None
    axes = figure.axes[1]
    lines = {str(line.get_label()): line for line in axes.lines}
    assert lines["none"].get_ydata() == pytest.approx([-0.1, -0.2])
    assert len(lines["_cut none"].get_ydata()) == 2  # the worst two lie below the axis
    assert axes.get_ylabel() == "validation log loss"
