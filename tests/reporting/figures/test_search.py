"""The search's trials by learning rate, and as they ended: every one is seen, and what it is can be read."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from normsweep.analysis import trials
from normsweep.reporting.figures.panels import MANY
from normsweep.reporting.figures.search import learning_rate, progress
from normsweep.reporting.figures.theme import NARROW, Style
from tests.reporting.figures.reading import limits, panels, parts, texts


def with_trials(made, records):
    return replace(made, record=replace(made.record, trials=tuple(records)))


def marks(figure, kind: str) -> list[dict]:
    """The layers of the first panel with this shape, or of this type."""
    return [p for p in parts(panels(figure)[0]) if kind in dict(p.get("mark", {})).values()]


def test_each_trial_is_drawn_once_with_its_rate_epochs_and_score(found):
    made = found()
    data = learning_rate(made, Style()).data.sort_values("trial")
    scored = trials.scored(made.record.searched)
    assert data["trial"].tolist() == [trial.number for trial, _ in scored]
    for column in ("arm", "optimizer", "learning_rate", "epochs"):
        assert data[column].tolist() == [getattr(trial, column) for trial, _ in scored]
    assert data["score"].tolist() == [result.score for _, result in scored]
    assert data["diverged"].tolist() == [result.status == "diverged" for _, result in scored]


def test_a_panel_is_an_optimizer_and_says_how_many_diverged(found):
    figure = learning_rate(found(), Style())
    assert len(panels(figure)) == 2
    said = texts(figure)
    assert {"sgd", "adam"} <= set(said)
    assert said.count("× 2 diverged") == 2


def test_diverged_trials_are_crosses_above_the_foot_and_bad_ones_triangles_on_it(
    found, trial_of_search
):
    made = found()
    records = [
        *made.record.trials,
        trial_of_search(99, "none", 0.2, optimizer="sgd", learning_rate=1e-3),
    ]
    figure = learning_rate(with_trials(made, records), Style())
    low, high = limits(panels(figure)[0])
    data = figure.data.set_index("trial")
    assert data.loc[99, "below"]
    assert data.loc[99, "drawn"] == low > 0.9
    lost = data[data["lost"]]
    assert lost["diverged"].all()
    assert not lost["below"].any()
    assert lost["drawn"].tolist() == pytest.approx([low + 0.05 * (high - low)] * len(lost))
    assert marks(figure, "triangle-down")
    assert marks(figure, "M-1,-1L1,1M-1,1L1,-1")
    assert "▼ 1 below\u00a0\u00a0\u00a0× 2 diverged" in texts(figure)


def test_where_lower_is_better_the_axis_is_turned(found):
    figure = learning_rate(found(metric="log_loss"), Style())
    low, high = limits(panels(figure)[0])
    assert low > high
    assert "Lower is better" in figure.caption


@pytest.mark.parametrize("linear", [False, True])
def test_rates_are_logarithmic_or_linear(found, linear):
    figure = learning_rate(found(), Style(linear=linear))
    scales = [p["encoding"]["x"]["scale"] for p in parts(panels(figure)[0]) if "scale" in p.get("encoding", {}).get("x", {})]  # fmt: skip
    assert {scale.get("type") for scale in scales} == {None if linear else "log"}
    assert all(scale["domain"][0] < 1e-5 and scale["domain"][1] > 0.1 for scale in scales)


def test_size_is_the_number_of_epochs(found):
    (trained,) = [
        p
        for p in parts(panels(learning_rate(found(), Style()))[0])
        if "size" in p.get("encoding", {})
    ]
    assert trained["encoding"]["size"]["field"] == "epochs"


def test_a_trial_can_be_pointed_at_and_leads_to_its_run(found):
    made = found()
    figure = learning_rate(made, Style(links={0: "http://localhost/#/runs/abc"}))
    (pointed,) = [
        p for p in parts(panels(figure)[0]) if dict(p.get("mark", {})).get("opacity") == 0
    ]
    titles = [tip["title"] for tip in pointed["encoding"]["tooltip"]]
    assert titles == ["arm", "optimizer", "learning rate", "epochs", "validation accuracy", "trial"]
    assert "href" in pointed["encoding"]
    assert "http://localhost/#/runs/abc" in set(figure.data["url"])
    assert "href" not in str(learning_rate(made, Style()).spec())


def test_the_description_says_the_best_of_each_arm(found):
    words = learning_rate(found(), Style()).description
    assert words.startswith(
        "none: 10 trials, the best 98.00 % with sgd at a learning rate of 1e-05 after 4 epochs; 2 diverged."
    )


def test_of_thousands_of_trials_the_best_and_a_sample_are_drawn_and_the_caption_says_so(
    found, trial_of_search
):
    made = found()
    many = [
        trial_of_search(i, arm, 0.9 + (i % 97) / 1000, learning_rate=10 ** (-4 + i % 7 / 3))
        for i, arm in enumerate(("none", "unit") * 5000)
    ]
    for draw in (learning_rate, progress):
        figure = draw(with_trials(made, many), Style())
        assert len(figure.data) == MANY
        assert "Of 10,000 trials 1,000 are drawn" in figure.caption
        assert figure.data.groupby("arm")["score"].max().tolist() == [0.996, 0.996]
        assert (
            figure.description.count("5,000 trials") + figure.description.count("5000 trials") == 2
        )
        assert draw(with_trials(made, many), Style()).data.equals(figure.data)


def test_progress_has_a_mark_for_each_trial_and_a_large_one_for_each_new_best(
    found, trial_of_search
):
    scores = [0.9, 0.8, math.nan, 0.95, 0.95]
    made = with_trials(found(), [trial_of_search(i, "none", s) for i, s in enumerate(scores)])
    data = progress(made, Style()).data
    assert data["hours"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert data["ended"].tolist() == pytest.approx([6.0, 12.0, 18.0, 24.0, 30.0])
    assert data["new"].tolist() == [True, False, False, True, False]


def test_progress_says_how_many_trials_ended_and_the_best_score(found):
    for style in (Style(), Style(NARROW)):
        assert "10 trials, best 98.0 %" in texts(progress(found(), style))
