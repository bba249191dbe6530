"""Whatever text is given as a sweep file, a path, a name or an address: it is one, or a line says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from normsweep.errors import DataError, StoreError, SweepError, UserError
from normsweep.parts import datasets
from normsweep.parts.catalog import read_sweep
from normsweep.store.storage import open_storage
from normsweep.sweep.loading import find_sweep, shipped_sweeps
from normsweep.sweep.schema import is_name
from normsweep.text import UNSEEN, masked, one_line, printable, reason
from normsweep.urls import absolute_url, check_address, parsed_url, sqlite_file

QUICKSTART = shipped_sweeps()["quickstart"].read_text(encoding="utf-8")
PIECES = st.text(max_size=6) | st.sampled_from(
    ["[", "]", "{", "}", '"', "'", '"""', "=", ".", "\n", "#", "\\", "\\u", "1e999", "nan", "[[", "[" * 3000,
     "a." * 3000, "9" * 5000, "\ufeff", "\x00", "inf", "1979-05-27T07:32:00Z"]
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("texts")


def assert_told(error: UserError) -> None:
    assert error.lines
    for line in error.lines:
        assert len(line) < 1000
        assert not UNSEEN.search(line)
        assert "\n" not in line


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), PIECES), max_size=4))
@example([(0.5, 0, "[" * 3000)])
@example([(0.0, 0, "\ufeff")])
@example([(0.0, 0, "x = " + "{a=" * 900)])
def test_any_change_of_a_file_is_a_sweep_or_says_why_not(folder, changes):
    text = QUICKSTART
    for share, removed, piece in changes:
        start = int(share * len(text))
        text = text[:start] + piece + text[start + removed :]
    path = folder / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_sweep(path)
    except SweepError as error:
        assert_told(error)


@given(st.binary(max_size=60))
@example("name = 1".encode("utf-16"))
def test_any_bytes_are_no_sweep(folder, content):
    path = folder / "bytes.toml"
    path.write_bytes(content)
    with pytest.raises(SweepError) as error:
        read_sweep(path)
    assert_told(error.value)


NAMES = st.text(max_size=40) | st.text(st.sampled_from("a/.~:%#? \\\x00\n"), max_size=12)


@given(NAMES)
@example("a" * 300)
@example("~nobody/x.npz")
@example("~\0")
@example("~\udc80/x.npz")
def test_any_path_is_a_file_or_says_why_not(name):
    for load in (find_sweep, datasets.load):
        try:
            load(name)
        except (SweepError, DataError) as error:
            assert_told(error)


@given(st.text(max_size=20))
def test_a_name_is_one_that_no_folder_is_left_with(name):
    if is_name(name):
        assert Path("a", name).parent == Path("a")
        assert name not in (".", "..")


ADDRESSES = st.builds(
    "{}{}".format,
    st.sampled_from(["", "sqlite://", "sqlite:///", "sqlite:////no/", "odd+driver://", "postgres://", "://"]),
    NAMES,
)  # fmt: skip


@given(ADDRESSES)
@example("sqlite://")
@example("sqlite:///~/o.db")
@example("sqlite:///~\0")
@example("sqlite:///~\udc80")
@example("sqlite:///a?timeout=b")
def test_any_address_is_one_or_says_why_not(address):
    absolute_url(address)
    sqlite_file(parsed_url(address))
    for use in (
        lambda: check_address("--tracking-uri", address),
        lambda: open_storage(address, create=False),
    ):
        try:
            use()
        except StoreError as error:
            assert_told(error)


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        ("sqlite://", "must be a file, or the study is lost at the end"),
        ("sqlite:///:memory:", "must be a file, or the study is lost at the end"),
        ("sqlite:///~/o.db", f"use sqlite:///{Path.home()}/o.db"),
        ("postgres://me:hidden@host/db", "must begin with postgresql+psycopg://, got postgres://me:***@host/db"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_work_is_refused_with_one_that_would(address, instead):
    with pytest.raises(StoreError) as error:
        open_storage(address, create=True)
    (line,) = error.value.lines
    assert instead in line


@given(st.text())
def test_any_text_is_printed_on_one_line_and_drives_no_terminal(text):
    assert not UNSEEN.search(printable(text))
    assert "\n" not in one_line(text)
    assert len(reason(ValueError(text))) <= 300
    assert masked(masked(text)) == masked(text)
