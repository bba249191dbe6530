"""What is drawn are the frames' numbers; and every figure survives what a study can hold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from normsweep.reporting import figures
from normsweep.reporting.figures.forest_rows import forest_groups
from normsweep.reporting.figures.saving import svg_text
from normsweep.reporting.figures.style import NARROW, Style

DRAWERS = {
    "accuracy": lambda frames, style: figures.draw_accuracy(frames.curves, frames.verdicts, style),
    "learning_rate": lambda frames, style: figures.draw_learning_rate(frames.learning_rates, style),
    "forest": lambda frames, style: figures.draw_forest(frames.verdicts, style),
    "tunability": lambda frames, style: figures.draw_tunability(frames.tunability, style),
    "inputs": lambda frames, style: figures.draw_inputs(frames.inputs, style),
    "gradients": lambda frames, style: figures.draw_gradients(frames.gradients, style),
    "progress": lambda frames, style: figures.draw_progress(frames.progress, style),
}
every_figure = pytest.mark.parametrize("name", DRAWERS)


def style(*arms: str, width: float = figures.WIDE) -> Style:
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


@pytest.mark.parametrize(("panel", "configuration"), enumerate(("baseline", "tuned_long")))
def test_accuracy_draws_the_curves(frames, panel, configuration):
    made = frames()
    figure = figures.draw_accuracy(made.curves, made.verdicts, style())
    rows = made.curves.query(f"arm == 'none' and configuration == '{configuration}'")
    x, y = line(figure, "none", panel)
    assert x.tolist() == rows["epoch"].tolist()
    assert y.tolist() == rows["accuracy"].tolist()


def test_a_ring_marks_the_epoch_of_parity_and_the_label_says_it(frames):
    made = frames()
    figure = figures.draw_accuracy(made.curves, made.verdicts, style())
    x, y = line(figure, "_parity none")
    at_six = made.curves.query("arm == 'none' and configuration == 'baseline' and epoch == 6")
    assert (x.tolist(), y.tolist()) == ([6.0], at_six["accuracy"].tolist())
    assert "from epoch 6" in texts(figure)


def test_a_catching_up_with_divergences_is_never_unqualified(frames):
    arms = ("a", "b", "c", "learned", "unit")
    made = frames(arms)
    for width in (figures.WIDE, NARROW):
        figure = figures.draw_accuracy(made.curves, made.verdicts, style(*arms, width=width))
        assert "epoch 6 where it trains" in texts(figure)
        assert "✓ epoch 6 where it trains" in " ".join(
            texts(figures.draw_forest(made.verdicts, style(*arms, width=width)))
        )


def test_a_bad_arm_does_not_flatten_the_others_and_is_marked_where_it_is_cut_off(frames):
    made = frames()
    bad = made.curves.query("arm == 'none'").assign(arm="bad", accuracy=0.1135, low=0.11, high=0.12)
    curves = pd.concat([made.curves, bad])
    figure = figures.draw_accuracy(curves, made.verdicts, style("none", "unit", "bad"))
    low = figure.axes[0].get_ylim()[0]
    assert low > 0.9
    assert low < 0.979
    x, y = line(figure, "_cut bad")
    assert x.tolist() == list(range(1, 9))
    assert set(y) == {low}
    assert "▾ ends at 11.3 %" in texts(figure)


def test_learning_rate_draws_each_trial_once_and_diverged_ones_as_crosses(frames):
    made = frames()
    figure = figures.draw_learning_rate(made.learning_rates, style())
    rows = made.learning_rates.query("arm == 'none' and optimizer == 'sgd'")
    shown, under, lost = (
        line(figure, label)[0] for label in ("none", "_cut none", "_diverged none")
    )
    assert sorted([*shown, *under, *lost]) == sorted(rows["learning_rate"])
    assert lost.tolist() == rows.query("diverged")["learning_rate"].tolist()
    assert line(figure, "none")[1].tolist() == rows["val_accuracy"].tolist()[: len(shown)]


def test_forest_draws_gaps_and_both_intervals(frames):
    made = frames()
    figure = figures.draw_forest(made.verdicts, style())
    row = made.verdicts.set_index("question").loc["both_tuned"]
    assert line(figure, "both_tuned none")[0].tolist() == [row["gap"]]
    assert segments(figure, "_interval both_tuned") == [(row["low"], row["high"])]
    assert segments(figure, "_seeds both_tuned") == [(row["seeds_low"], row["seeds_high"])]
    assert "−0.05 (−0.20 to +0.10)" in texts(figure)
    assert "✓ from epoch 6" in texts(figure)


def test_forest_keeps_the_order_of_the_questions_and_marks_the_main_one(frames):
    titles = [group.title for group in forest_groups(frames().verdicts)]
    assert titles == [
        "Up to 8 epochs, against “unit” after 4 epochs",
        "Equal epochs, up to 8 epochs",
        "Tuned for 4 epochs, against untuned “unit”",
        "Tuned for 8 epochs, against untuned “unit”",
        "Both tuned for 4 epochs",
        "Both tuned for 8 epochs (main question)",
    ]


def test_a_gap_beyond_the_axis_is_an_arrow_at_its_edge_and_its_number_is_printed(frames):
    made = frames()
    verdicts = made.verdicts.assign(gap=-0.876, low=-0.88, high=-0.87, seeds_low=-0.88)
    figure = figures.draw_forest(verdicts, style())
    axes = figure.axes[0]
    assert line(figure, "both_tuned none")[0].tolist() == [axes.get_xlim()[0]]
    assert any(text.startswith("−87.60") for text in texts(figure))


def test_tunability_draws_estimates_and_bands(frames):
    made = frames()
    figure = figures.draw_tunability(made.tunability, style())
    for panel, kind in enumerate(("expected best", "best so far")):
        rows = made.tunability.query(f"arm == 'none' and kind == '{kind}'")
        x, y = line(figure, "none", panel)
        assert x.tolist() == rows["trials"].tolist()
        assert y.tolist() == rows["expected"].tolist()


def test_gradients_draws_the_norms_by_layer(frames):
    made = frames()
    figure = figures.draw_gradients(made.gradients, style())
    rows = made.gradients.query("arm == 'none' and stage == 'after epoch 1'")
    x, y = line(figure, "none", 1)
    assert x.tolist() == rows["position"].tolist()
    assert y.tolist() == rows["norm"].tolist()


def test_inputs_draws_values_beside_the_loss_of_guessing(frames):
    made = frames()
    figure = figures.draw_inputs(made.inputs, style())
    loss = figure.axes[3]
    values = {each.get_label(): each.get_xdata()[0] for each in loss.lines}
    assert values["none"] == 2.5
    assert values["_later none"] == 0.1
    guides = next(each for each in loss.collections if each.get_label() == "_guide")
    assert guides.get_segments()[0][0][0] == pytest.approx(math.log(10))
    assert "2.5 → 0.1" in texts(figure)


def test_progress_draws_a_mark_per_trial_and_a_large_one_for_each_new_best(frames):
    made = frames()
    figure = figures.draw_progress(made.progress, style())
    rows = made.progress.query("arm == 'none'")
    assert line(figure, "none")[0].tolist() == rows["hours"].tolist()
    assert line(figure, "_best none")[0].tolist() == rows["hours"].iloc[[0, 3]].tolist()


@every_figure
@pytest.mark.parametrize("width", [figures.WIDE, NARROW])
@pytest.mark.parametrize("count", [2, 9])
def test_every_figure_is_drawn_for_few_and_many_arms(frames, name, width, count):
    arms = (*(f"arm {i}" for i in range(count - 1)), "unit")
    figure = DRAWERS[name](frames(arms), style(*arms, width=width))
    assert "</svg>" in svg_text(figure)


@every_figure
@pytest.mark.parametrize("width", [figures.WIDE, NARROW])
def test_names_are_never_taken_for_mathematics_and_never_leave_the_figure(
    frames, awkward, name, width
):
    arms = ("none", "unit", awkward)
    figure = DRAWERS[name](frames(arms, epochs=1), style(*arms, width=width))
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
def test_an_empty_frame_gives_no_figure(frames, name):
    made = frames()
    empty = type(made)()
    assert DRAWERS[name](empty, style()) is None
    headed = type(made)(**{key: frame.iloc[:0] for key, frame in vars(made).items()})
    assert DRAWERS[name](headed, style()) is None


@every_figure
def test_missing_numbers_leave_gaps_and_no_error(frames, name):
    made = frames()
    numbers = {
        key: frame.assign(
            **{
                c: np.nan
                for c in ("low", "high", "seeds_low", "val_accuracy", "loss")
                if c in frame
            }
        )
        for key, frame in vars(made).items()
    }
    assert isinstance(DRAWERS[name](type(made)(**numbers), style()), Figure)


def test_a_configuration_that_was_not_run_leaves_its_panel_out(frames):
    made = frames()
    curves = made.curves.query("configuration == 'baseline'")
    figure = figures.draw_accuracy(curves, None, style())
    assert len(figure.axes) == 1


def test_each_arm_has_one_look_in_all_figures(frames):
    arms = ("none", "unit", "standardize")
    made, looks = frames(arms), style(*arms)
    for name in ("accuracy", "learning_rate", "tunability", "gradients"):
        figure = DRAWERS[name](made, looks)
        for arm in arms:
            found = [each for axes in figure.axes for each in axes.lines if each.get_label() == arm]
            assert {each.get_markerfacecolor() for each in found} == {looks.look(arm).colour}
            assert {each.get_marker() for each in found} == {looks.look(arm).marker}


def test_nine_arms_look_different_and_the_reference_stands_out():
    arms = tuple(f"arm {i}" for i in range(9))
    looks = [Style(arms, "arm 4").look(arm) for arm in arms]
    assert len({(each.colour, each.marker, str(each.dashes)) for each in looks}) == 9
    assert looks[4].width > max(each.width for each in looks[:4])


def test_drawing_leaves_matplotlib_as_it_was(frames):
    import matplotlib

    before = dict(matplotlib.rcParams)
    DRAWERS["accuracy"](frames(), style())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ["learning_rate", "progress"])
def test_thousands_of_trials_are_an_image_within_the_figure(frames, name):
    few = frames()
    again = {
        table: pd.concat([getattr(few, table)] * 200, ignore_index=True)
        for table in ("learning_rates", "progress")
    }
    many = replace(few, **again)
    few_text, many_text = (svg_text(DRAWERS[name](made, style())) for made in (few, many))
    assert "<image" not in few_text
    assert "<image" in many_text
    assert len(many_text) < 300_000
