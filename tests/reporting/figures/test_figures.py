"""What is drawn are the numbers that were found; and every figure survives what a study can hold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.trials import progress
from normsweep.reporting.figures.diagnostics import draw_inputs
from normsweep.reporting.figures.gradients import draw_gradients
from normsweep.reporting.figures.learning_rate import draw_learning_rate
from normsweep.reporting.figures.progress import draw_progress
from normsweep.reporting.figures.saving import svg_text
from normsweep.reporting.figures.style import NARROW, WIDE, Style
from normsweep.reporting.figures.tunability import draw_tunability

DRAWERS = {
    "learning_rate": draw_learning_rate,
    "tunability": draw_tunability,
    "inputs": draw_inputs,
    "gradients": draw_gradients,
    "progress": draw_progress,
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


def test_learning_rate_draws_each_trial_once_and_diverged_ones_as_crosses(found):
    made = found()
    figure = draw_learning_rate(made, style())
    trials = [
        (r.trial.learning_rate, r.result)
        for r in made.record.searched
        if (r.trial.arm, r.trial.optimizer) == ("none", "sgd")
    ]
    shown, under, lost = (
        line(figure, label)[0] for label in ("none", "_cut none", "_diverged none")
    )
    assert sorted([*shown, *under, *lost]) == sorted(rate for rate, _ in trials)
    assert lost.tolist() == [rate for rate, result in trials if result.status == "diverged"]
    assert line(figure, "none")[1].tolist() == [r.score for _, r in trials][: len(shown)]


def test_tunability_draws_estimates_and_bands(found):
    made = found()
    figure = draw_tunability(made, style())
    for panel, kind in enumerate(("expected best", "best so far")):
        curve = next(c for c in made.tuning if (c.arm, c.kind) == ("none", kind))
        x, y = line(figure, "none", panel)
        assert x.tolist() == list(range(1, 11))
        assert y.tolist() == list(curve.scores)


def test_gradients_draws_the_norms_by_layer(found):
    made = found()
    figure = draw_gradients(made, style())
    after = made.diagnoses["none"].after_epoch_1
    assert after is not None
    x, y = line(figure, "none", 1)
    assert x.tolist() == [0, 1, 2]
    assert y.tolist() == [norm for _, norm in after.gradients]


def test_inputs_draws_values_beside_the_loss_of_guessing(found):
    figure = draw_inputs(found(), style())
    loss = figure.axes[3]
    drawn = {each.get_label(): each.get_xdata()[0] for each in loss.lines}
    assert drawn["none"] == 2.5
    assert drawn["_later none"] == 0.1
    guides = next(each for each in loss.collections if each.get_label() == "_guide")
    assert guides.get_segments()[0][0][0] == pytest.approx(math.log(10))
    assert "2.5 → 0.1" in texts(figure)


def test_progress_draws_a_mark_per_trial_and_a_large_one_for_each_new_best(found, trial_of_search):
    made = found()
    trials = tuple(trial_of_search(i, "none", s) for i, s in enumerate([0.9, 0.8, math.nan, 0.95]))
    made = replace(made, record=replace(made.record, trials=trials))
    figure = draw_progress(made, style())
    hours = [step.hours for step in progress(trials)]
    assert hours == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert line(figure, "none")[0].tolist() == hours
    assert line(figure, "_best none")[0].tolist() == [hours[0], hours[3]]


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


def test_each_arm_has_one_look_in_all_figures(found):
    arms = ("none", "unit", "standardize")
    made, looks = found(arms), style(*arms)
    for name in ("learning_rate", "tunability", "gradients"):
        figure = DRAWERS[name](made, looks)
        for arm in arms:
            drawn = [each for axes in figure.axes for each in axes.lines if each.get_label() == arm]
            assert {each.get_markerfacecolor() for each in drawn} == {looks.look(arm).colour}
            assert {each.get_marker() for each in drawn} == {looks.look(arm).marker}


def test_nine_arms_look_different_and_the_reference_stands_out():
    arms = tuple(f"arm {i}" for i in range(9))
    looks = [Style(arms, "arm 4").look(arm) for arm in arms]
    assert len({(each.colour, each.marker, str(each.dashes)) for each in looks}) == 9
    assert looks[4].width > max(each.width for each in looks[:4])


def test_drawing_leaves_matplotlib_as_it_was(found):
    import matplotlib

    before = dict(matplotlib.rcParams)
    DRAWERS["progress"](found(), style())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ["learning_rate", "progress"])
def test_thousands_of_trials_are_an_image_within_the_figure(found, name):
    few = found()
    many = replace(few, record=replace(few.record, trials=few.record.trials * 200))
    few_text, many_text = (svg_text(DRAWERS[name](made, style())) for made in (few, many))
    assert "<image" not in few_text
    assert "<image" in many_text
    assert len(many_text) < 300_000
