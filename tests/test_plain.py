import pytest

from normsweep.text import one_line, printable, significant


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


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0.0, "0"), (0.012345, "0.0123"), (-0.5, "−0.5"), (52341.2, "52,341"), (0.000123, "0.000123"),
        (1.2345e-6, "1.23e-6"), (-4e-11, "−4e-11"), (9.999e-5, "1e-4"), (float("inf"), "unknown"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_and_tiny_ones_their_power_of_ten(number, shown):
    assert significant(number, 3) == shown


def test_on_one_line_a_break_is_seen():
    assert one_line("a\nnormsweep: all is well") == "a\\nnormsweep: all is well"
