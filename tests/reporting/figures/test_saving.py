import re
from xml.etree import ElementTree

from normsweep.reporting.figures.accuracy import draw_accuracy
from normsweep.reporting.figures.saving import inline, save
from normsweep.reporting.figures.style import INK, Style

STYLE = Style(("none", "unit"), "unit")


def drawn(found):
    return draw_accuracy(found(), STYLE)


def test_the_same_figure_gives_the_same_bytes(found, tmp_path):
    for folder in ("one", "two"):
        save(drawn(found), tmp_path / folder, "accuracy")
    for name in ("accuracy.png", "accuracy.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_png_is_white_and_svg_is_transparent(found, tmp_path):
    from PIL import Image

    text = save(drawn(found), tmp_path, "accuracy")
    with Image.open(tmp_path / "accuracy.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert image.width > 1200
    background = ElementTree.fromstring(text).find(".//*[@id='patch_1']/*")
    assert background is None or "fill: none" in (background.get("style") or "")


def test_text_stays_text_and_names_are_escaped(found, awkward, tmp_path):
    arms = (awkward[:12], "unit")
    figure = draw_accuracy(found(arms), Style(arms, "unit"))
    text = save(figure, tmp_path, "accuracy")
    assert "$x^2$_&lt;b&gt;&amp;" in text
    ElementTree.fromstring(text)


def test_an_inline_svg_follows_the_theme_and_is_read_aloud(found, tmp_path):
    element = inline(save(drawn(found), tmp_path, "accuracy"), "accuracy", 'all "arms" <here>')
    assert element.startswith("<svg ")
    assert 'role="img"' in element
    assert 'aria-label="all &quot;arms&quot; &lt;here&gt;"' in element
    assert "currentColor" in element
    assert INK not in element
    assert "http" not in element
    assert "<style" not in element


def test_identifiers_of_two_inline_svgs_do_not_meet(found, tmp_path):
    text = save(drawn(found), tmp_path, "accuracy")
    one, two = (inline(text, name, "") for name in ("one", "two"))
    identifiers = [set(re.findall(r'\bid="([^"]+)"', element)) for element in (one, two)]
    assert identifiers[0]
    assert not identifiers[0] & identifiers[1]
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', one)
    assert used
    assert set(used) <= identifiers[0]
