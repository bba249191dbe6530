"""The map of learning rate and arm: each trial once, with the shape of how it ended."""

from __future__ import annotations

from dataclasses import replace

from normsweep.analysis.confirm_runs import confirmed
from normsweep.analysis.endings import endings as endings_of
from normsweep.reporting.figures.endings import endings
from normsweep.reporting.figures.theme import NARROW, Arms, Style
from tests.reporting.figures.reading import panels, parts, texts


def with_stuck(made, *numbers):
    """The study in which these trials are stuck."""

    def stuck(record):
        curve = tuple(replace(e, train_loss=2.3, val_accuracy=0.1) for e in record.result.curve)
        return replace(record, result=replace(record.result, curve=curve))

    trials = tuple(stuck(r) if r.trial.number in numbers else r for r in made.record.trials)
    record = replace(made.record, trials=trials)
    return replace(
        made, record=record, endings=endings_of(record, confirmed(made.analysis, trials))
    )


def test_each_trial_is_drawn_once_as_it_ended(found):
    made = with_stuck(found(), 0, 12)
    data = endings(made, Style()).data.set_index("trial")
    assert len(data) == len(made.record.searched)
    assert data.index[data["ended"] == "stuck"].tolist() == [0, 12]
    diverged = [r.trial.number for r in made.record.searched if r.result.status == "diverged"]
    assert data.index[data["ended"] == "diverged"].tolist() == diverged
    for record in made.record.searched:
        row = data.loc[record.trial.number]
        assert (row["arm"], row["optimizer"]) == (record.trial.arm, record.trial.optimizer)
        assert row["learning_rate"] == record.trial.learning_rate


def test_a_panel_is_an_optimizer_a_row_an_arm_and_a_shape_an_ending(found):
    made = with_stuck(found(("none", "unit", "center")), 0)
    figure = endings(made, Style())
    assert len(panels(figure)) == 2
    rows = {tuple(p["encoding"]["y"]["sort"]) for p in parts(panels(figure)[0]) if "y" in p.get("encoding", {})}  # fmt: skip
    assert rows == {Arms.of(made).names}
    shapes = [p["mark"]["shape"] for p in parts(panels(figure)[0]) if "shape" in dict(p.get("mark", {}))]  # fmt: skip
    assert len(set(shapes)) == len(shapes) == 3
    said = texts(figure)
    assert {"sgd", "adam", "none", "unit", "center"} <= set(said)
    assert any(text.startswith("□ 1 stuck") and text.endswith("× 3 diverged") for text in said)
    assert "× 3 diverged" in said


def test_optimizers_stand_below_one_another_on_a_phone(found):
    assert "vconcat" in endings(found(), Style(NARROW)).spec()


def test_the_description_has_the_counts_and_the_rates(found):
    words = endings(with_stuck(found(), 0), Style()).description
    assert (
        "none: 10 trials; 7 trained, from 1e-05 to 0.01; 1 stuck, at 1e-05; 2 diverged, at 0.1."
        in words
    )


def test_only_rates_are_zoomed_as_an_arm_has_no_scale(found):
    selects = [p["select"] for part in parts(endings(found(), Style()).spec()) for p in part.get("params", ()) if "select" in p]  # fmt: skip
    assert selects
    assert all(select["encodings"] == ["x"] for select in selects)
