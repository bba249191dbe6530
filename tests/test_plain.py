import pytest

from normsweep.text import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand a tab, été, 数字, עברית", "two\nlines\tand a tab, été, 数字, עברית"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("10%\r20%\r\ndone", "10%\\r20%\ndone"),
        ("a\x00b\x7f\x9b31m", "a\\x00b\\x7f\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_nothing_that_drives_a_terminal_is_left(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_on_one_line_a_break_is_seen():
    assert one_line("a\nnormsweep: all is well") == "a\\nnormsweep: all is well"
