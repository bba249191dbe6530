"""The report's command: how wide the files of figures are."""

import pytest

from normsweep.errors import UserError
from normsweep.report import _pixels
from normsweep.reporting.figures.gallery import draw_pictures


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
