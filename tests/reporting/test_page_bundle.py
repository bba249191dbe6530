import base64
import gzip

import pytest

from normsweep.cache import cache_folder
from normsweep.reporting.page_bundle import bundle


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


def test_the_scripts_are_bundled_once_and_a_broken_file_is_made_anew(cache):
    made = bundle()
    assert b"window.vegaEmbed=" in gzip.decompress(base64.b64decode(made))
    (file,) = cache.iterdir()  # nothing is left over of writing it
    whole, made_at = file.read_bytes(), file.stat().st_mtime_ns
    assert bundle() == made
    assert file.stat().st_mtime_ns == made_at
    file.write_bytes(whole[:1000])
    assert bundle() == made
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_no_obstacle(cache):
    cache.parent.write_text("a file where the folder would be")
    assert bundle()
    assert cache.parent.is_file()
