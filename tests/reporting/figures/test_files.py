"""A figure as files and as a part of a page: the same bytes, text as text, the page's colours."""

import re
from xml.etree import ElementTree

from normsweep.reporting.figures import files
from normsweep.reporting.figures.accuracy import accuracy
from normsweep.reporting.figures.files import inline, on_page, save, svg_text
from normsweep.reporting.figures.theme import INK, Style
from tests.reporting.figures.reading import draw_anew


def spec(found, *arms, **keys):
    return accuracy(found(arms or ("none", "unit")), Style(**keys)).spec()


def test_the_same_figure_gives_the_same_bytes(found, tmp_path):
    for folder in ("one", "two"):
        draw_anew()
        save(svg_text(spec(found)), tmp_path / folder, "accuracy")
    for name in ("accuracy.png", "accuracy.svg", "accuracy.pdf"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_figure_that_was_drawn_is_not_drawn_again(found):
    first = svg_text(spec(found))
    before = files._drawn.cache_info()
    assert svg_text(spec(found)) == first
    svg_text(spec(found, "none", "unit", "center"))
    after = files._drawn.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 1)


def test_png_is_white_and_svg_is_transparent(found, tmp_path):
    from PIL import Image

    text = svg_text(spec(found))
    save(text, tmp_path, "accuracy")
    with Image.open(tmp_path / "accuracy.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert image.width > 1200
    assert "<rect" not in text.replace("<rect x", "")  # but for those that cut


def test_text_stays_text_and_names_are_escaped(found, awkward):
    text = svg_text(spec(found, awkward[:12], "unit"))
    assert "$x^2$_&lt;b&gt;&amp;" in text
    ElementTree.fromstring(text)


def test_what_is_there_to_be_pointed_at_is_not_in_files(found):
    text = svg_text(spec(found, links={0: "http://localhost/runs"}))
    assert 'opacity="0"' not in text
    assert "href" not in text


def test_an_inline_svg_follows_the_theme_and_is_read_aloud(found):
    element = inline(svg_text(spec(found)), "accuracy", 'all "arms" <here>')
    assert element.startswith("<svg ")
    assert 'role="img"' in element
    assert 'aria-label="all &quot;arms&quot; &lt;here&gt;"' in element
    assert "currentColor" in element
    assert INK not in element
    assert "http" not in element
    assert "<style" not in element
    assert "font-family" not in element


def test_identifiers_of_two_inline_svgs_do_not_meet(found):
    text = svg_text(spec(found))
    one, two = (inline(text, name, "") for name in ("one", "two"))
    identifiers = [set(re.findall(r'\bid="([^"]+)"', element)) for element in (one, two)]
    assert identifiers[0]
    assert not identifiers[0] & identifiers[1]
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', one)
    assert used
    assert set(used) <= identifiers[0]


def test_a_chart_on_a_page_has_its_ink_and_font(found):
    text = str(on_page(spec(found)))
    assert "currentColor" in text
    assert INK not in text
    assert "Liberation" not in text
