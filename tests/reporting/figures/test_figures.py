"""What is drawn are the numbers that were found; and every figure survives what a study can hold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from normsweep.analysis.estimates import Estimate
from normsweep.reporting.figures.forest import draw_forest
from normsweep.reporting.figures.forest_rows import forest_groups
from normsweep.reporting.figures.saving import svg_text
from normsweep.reporting.figures.style import NARROW, WIDE, Style

DRAWERS = {
    "forest": draw_forest,
}
every_figure = pytest.mark.parametrize("name", DRAWERS)


def style(*arms: str, width: float = WIDE) -> Style:
    return Style(arms or ("none", "unit"), "unit", width)


def line(figure: Figure, label: str, panel: int = 0):
    """The line with this label in a panel, as x and y."""
    panels = [axes for axes in figure.axes if any(each.get_label() == label for each in axes.lines)]
    if not panels:
        return np.array([]), np.array([])
    found = next(each for each in panels[panel].lines if each.get_label() == label)
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def segments(figure: Figure, label: str) -> list[tuple[float, float]]:
    """From where to where the horizontal lines with this label go."""
    found = [each for each in figure.axes[0].collections if each.get_label() == label]
    return [(start[0], end[0]) for each in found for start, end in each.get_segments()]


def texts(figure: Figure) -> list[str]:
    """All texts of a figure."""
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [
        text.get_text() for text in figure.texts
    ]


def values(made, arm: str, configuration: str) -> list[float]:
    """The means of a curve."""
    curve = next(c for c in made.curves if (c.arm, c.configuration) == (arm, configuration))
    return [e.value for e in curve.epochs]


def test_a_catching_up_with_divergences_is_never_unqualified(found):
    arms = ("a", "b", "c", "learned", "unit")
    made = found(arms)
    for width in (WIDE, NARROW):
        assert "✓ epoch 6 where it trains" in " ".join(
            texts(draw_forest(made, style(*arms, width=width)))
        )


def test_forest_draws_gaps_and_both_intervals(found):
    made = found()
    figure = draw_forest(made, style())
    verdict = next(v for v in made.verdicts if v.question == "both_tuned")
    gap, seeds = verdict.gap, verdict.on_these_images
    assert line(figure, "both_tuned none")[0].tolist() == [gap.value]
    assert segments(figure, "_interval both_tuned") == [(gap.low, gap.high)]
    assert segments(figure, "_seeds both_tuned") == [(seeds.low, seeds.high)]
    assert "−0.05 (−0.20 to +0.10)" in texts(figure)
    assert "✓ from epoch 6" in texts(figure)


def test_forest_keeps_the_order_of_the_questions_and_marks_the_main_one(found):
    titles = [group.title for group in forest_groups(found().verdicts)]
    assert titles == [
        "Up to 8 epochs, against “unit” after 4 epochs",
        "Equal epochs, up to 8 epochs",
        "Tuned for 4 epochs, against untuned “unit”",
        "Tuned for 8 epochs, against untuned “unit”",
        "Both tuned for 4 epochs",
        "Both tuned for 8 epochs (main question)",
    ]


def test_a_gap_beyond_the_axis_is_an_arrow_at_its_edge_and_its_number_is_printed(found):
    made, far = found(), Estimate(-0.876, -0.88, -0.87, 5)
    beyond = tuple(replace(v, gap=far, on_these_images=far) for v in made.verdicts)
    figure = draw_forest(replace(made, verdicts=beyond), style())
    axes = figure.axes[0]
    assert line(figure, "both_tuned none")[0].tolist() == [axes.get_xlim()[0]]
    assert any(text.startswith("−87.60") for text in texts(figure))


@every_figure
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("count", [2, 9])
def test_every_figure_is_drawn_for_few_and_many_arms(found, name, width, count):
    arms = (*(f"arm {i}" for i in range(count - 1)), "unit")
    figure = DRAWERS[name](found(arms), style(*arms, width=width))
    assert "</svg>" in svg_text(figure)


@every_figure
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_names_are_never_taken_for_mathematics_and_never_leave_the_figure(
    found, awkward, name, width
):
    arms = ("none", "unit", awkward)
    figure = DRAWERS[name](found(arms, epochs=1), style(*arms, width=width))
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [
        (text.get_text(), text.get_window_extent(renderer))
        for axes in figure.axes
        for text in axes.texts
        if text.get_text()
    ]
    outside = [text for text, box in boxes if box.x0 < -1 or box.x1 > figure.bbox.width + 1]
    assert not outside
    assert any("$x^2$" in text for text in texts(figure))


@every_figure
def test_where_nothing_was_found_there_is_no_figure(nothing, name):
    assert DRAWERS[name](nothing, style()) is None


@every_figure
def test_missing_numbers_leave_gaps_and_no_error(found, name):
    made, nan = found(), math.nan

    def blurred(estimate: Estimate) -> Estimate:
        return replace(estimate, low=nan, high=nan)

    trials = [
        replace(r, result=replace(r.result, curve=tuple(replace(e, val_accuracy=nan) for e in r.result.curve)))
        for r in made.record.trials
    ]  # fmt: skip
    losses = {
        arm: replace(d, initialization=replace(d.initialization, loss=nan), after_epoch_1=None)
        for arm, d in made.diagnoses.items()
    }
    missing = replace(
        made,
        record=replace(made.record, trials=tuple(trials), diagnoses=losses),
        verdicts=tuple(
            replace(v, gap=blurred(v.gap), on_these_images=blurred(v.on_these_images))
            for v in made.verdicts
        ),
        curves=tuple(replace(c, epochs=tuple(map(blurred, c.epochs))) for c in made.curves),
        tuning=tuple(replace(t, low=(nan,) * 10, high=(nan,) * 10) for t in made.tuning),
    )
    assert isinstance(DRAWERS[name](missing, style()), Figure)


def test_nine_arms_look_different_and_the_reference_stands_out():
    arms = tuple(f"arm {i}" for i in range(9))
    looks = [Style(arms, "arm 4").look(arm) for arm in arms]
    assert len({(each.colour, each.marker, str(each.dashes)) for each in looks}) == 9
    assert looks[4].width > max(each.width for each in looks[:4])


def test_drawing_leaves_matplotlib_as_it_was(found):
    import matplotlib

    before = dict(matplotlib.rcParams)
    DRAWERS["forest"](found(), style())
    assert dict(matplotlib.rcParams) == before
