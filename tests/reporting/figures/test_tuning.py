"""The best score by trials, time and epochs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from normsweep.analysis.trials import best_by_epochs
from normsweep.reporting.figures.theme import NARROW, Style
from normsweep.reporting.figures.tuning import budget, tunability
from tests.reporting.figures.reading import limits, panels, parts, texts


@pytest.mark.parametrize("kind", ["expected best", "best so far"])
def test_tunability_draws_estimates_bands_and_time(found, kind):
    made = found()
    figure = tunability(made, Style())
    curve = next(c for c in made.tuning if (c.arm, c.kind) == ("none", kind))
    rows = figure.data[(figure.data["arm"] == "none") & (figure.data["kind"] == kind)]
    assert rows["trials"].tolist() == list(range(1, 11))
    assert rows["score"].tolist() == list(curve.scores)
    assert rows["low"].tolist()[:2] == list(curve.low[:2])
    assert rows["low"].isna().tolist() == [False] * 2 + [True] * 8
    assert rows["seconds"].tolist() == list(curve.seconds)
    assert rows["spent"].tolist() == pytest.approx([seconds / 60 for seconds in curve.seconds])


def test_there_is_a_panel_by_time_and_one_by_trials_for_each_estimate(found):
    made = found()
    so_far = replace(made, tuning=tuple(c for c in made.tuning if c.kind == "best so far"))
    assert len(panels(tunability(so_far, Style()))) == 2
    assert len(panels(tunability(made, Style(NARROW)))) == 4
    said = texts(tunability(so_far, Style()))
    assert "Best so far, as the search went" in said
    assert "minutes of the arm's trials together" in said
    assert "trials of the arm" in said
    assert said.count("97.50 %") == 2


def test_steps_are_marked_where_a_better_one_was_found(found):
    made = found()
    scores = (0.9, 0.9, 0.95, 0.95, 0.95)
    curve = replace(made.tuning[1], scores=scores, low=scores, high=scores, seconds=scores)
    data = tunability(replace(made, tuning=(curve,)), Style()).data
    assert data["marked"].tolist() == [True, False, True, False, True]


def test_a_bad_beginning_is_below_the_axis_and_does_not_flatten_the_end(found):
    made = found()
    scores = (0.1, 0.2, 0.97, 0.975, 0.98)
    curves = [replace(c, scores=scores, low=scores, high=scores, seconds=scores) for c in made.tuning if c.kind == "best so far"]  # fmt: skip
    figure = tunability(replace(made, tuning=tuple(curves)), Style())
    low, _ = limits(panels(figure)[0])
    assert low > 0.9
    assert figure.data["below"].tolist() == [True, True, False, False, False] * 2
    assert set(figure.data.loc[figure.data["below"], "drawn"]) == {low}
    lines = [p for p in parts(panels(figure)[0]) if dict(p.get("mark", {})).get("type") == "line"]
    assert {line["encoding"]["y"]["field"] for line in lines} == {"score"}


def test_the_budget_is_drawn_from_the_curves_of_the_trials(found):
    made = found()
    figure = budget(made, Style())
    best = best_by_epochs(made.record.searched, ("none", "unit"), range(1, 5))
    data = figure.data
    assert data["epochs"].tolist() == [each.epochs for each in best]
    assert data["score"].tolist() == [each.score for each in best]
    assert data["trial"].tolist() == [each.record.trial.number for each in best]
    assert set(data["optimizer"]) == {"sgd"}
    assert data["learning_rate"].tolist() == [1e-5] * len(data)


def test_the_budgets_points_lead_to_their_runs(found):
    figure = budget(found(), Style(links={0: "http://localhost/#/runs/abc"}))
    assert "http://localhost/#/runs/abc" in set(figure.data["url"])
    assert "href" in str(figure.spec())


def test_descriptions_are_read_off_the_numbers(found):
    made = found()
    assert "none: 97.50 % after 10 trials and 60 min" in tunability(made, Style()).description
    assert budget(made, Style()).description.startswith("none: ")
    assert "98.00 % after 4 epochs." in budget(made, Style()).description
