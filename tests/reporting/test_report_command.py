"""The report's command: how wide the files of figures are; several studies on one page."""

from dataclasses import replace

import pytest

import normsweep
from normsweep.analysis.evidence import evidence
from normsweep.analysis.several import by_metric
from normsweep.errors import UserError
from normsweep.parts.metrics import metric
from normsweep.report import _pixels
from normsweep.reporting.figures.forest import forest_of_studies
from normsweep.reporting.figures.gallery import draw_pictures
from normsweep.reporting.figures.theme import Style
from normsweep.reporting.score_tables import seeds_table
from normsweep.reporting.studies_page import studies_cells, studies_table, write_studies


@pytest.mark.parametrize(("width", "pixels"), [("3.5in", 336), ("88.9mm", 336), ("8.89 cm", 336)])
def test_a_width_is_a_length_on_paper(width, pixels):
    assert _pixels(width) == pytest.approx(pixels)


@pytest.mark.parametrize("width", ["3.5", "89", "wide", "10mm", "6m", "-89mm"])
def test_any_other_width_is_refused(width):
    with pytest.raises(UserError, match="--width: must be a length from 50mm to 500mm"):
        _pixels(width)


def test_files_have_the_width_that_is_asked_for(found, tmp_path):
    pictures = draw_pictures(found(), tmp_path, width=336)
    pdf = (tmp_path / "forest.pdf").read_bytes()
    across = float(pdf.split(b"/MediaBox [0 0 ")[1].split()[0])
    assert 0.9 * 252 < across <= 1.05 * 252  # 3.5 inches in points
    assert 'viewBox="0 0 815 ' in pictures["forest"].wide


def test_several_studies_are_lines_with_margins_of_their_own_and_nothing_is_pooled(found, tmp_path):
    one = found(("none", "unit", "standardize"), study="mnist")
    other = found(study="fashion", confirm__margin=0.005)
    wide = tuple(replace(verdict, margin=0.005) for verdict in other.verdicts)
    loss = found(study="loss", metric="log_loss")
    nats = tuple(replace(verdict, metric=metric("log_loss")) for verdict in loss.verdicts)
    studies = [one, replace(other, verdicts=wide), replace(loss, verdicts=nats)]
    accuracy, losses = by_metric(studies)
    assert accuracy.labels == ("mnist: none", "mnist: standardize", "fashion: none")
    assert losses.labels == ("loss: none",)
    data = forest_of_studies(accuracy, Style()).data
    assert data is not None
    assert data["margin"].tolist() == [0.002, 0.002, 0.005]
    page = write_studies(studies, folder=tmp_path).read_text()
    assert "Metrics differ (accuracy: mnist and fashion; log loss: loss)" in page
    assert "Margins differ (0.2 percentage points: mnist; 0.5 percentage points: fashion" in page
    assert "share their data" in page
    assert page.count("<svg") == 4
    table = studies_table(studies)
    assert table["study"].tolist() == ["mnist"] * 12 + ["fashion"] * 6 + ["loss"] * 6
    assert studies_cells(studies)["study"].nunique() == 3


def test_the_seeds_of_a_study_have_its_own_interval_for_new_seeds(confirmed_record):
    """What `export seeds` writes is judged as the study was, on the same test images."""
    found = evidence(confirmed_record(study="mnist", spread=0.001))
    seeds = seeds_table(found.scores, found.metric, found.level)
    for question, configuration, epochs in (
        ("both_tuned", "tuned_long", 6),
        ("equal_epochs", "baseline", 6),
    ):
        where = {"configuration": configuration, "epochs": epochs}
        judged = normsweep.judge(
            seeds, where=where, score="mean_test_accuracy", reference="unit", margin=0.002
        )
        (own,) = [v for v in found.verdicts if v.question == question]
        (given,) = judged.judgement.verdicts
        same = (own.on_these_images.value, own.on_these_images.low, own.on_these_images.high)
        assert own.on_these_images.low < own.on_these_images.high
        assert (given.gap.value, given.gap.low, given.gap.high) == pytest.approx(same, abs=1e-9)
        assert (given.seeds, given.level) == (own.seeds, own.level)
