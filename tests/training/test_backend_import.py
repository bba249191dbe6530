"""The import of a backend without the packages that it would only look for."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from normsweep.training.backend_import import OPTIONAL, lean_import


@pytest.fixture(autouse=True)
def not_imported_yet(monkeypatch):
    for name in OPTIONAL:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_package_is_missing_for_a_while_and_in_this_thread_only(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with ThreadPoolExecutor(1) as other:
        with lean_import():
            with pytest.raises(ModuleNotFoundError, match=f"{name} is left out here"):
                find_spec(name)
            assert other.submit(find_spec, name).result()
            assert find_spec("pandas")
        assert find_spec(name)


def test_a_backend_is_not_left_out(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with lean_import():
        assert find_spec("jax")


def test_after_an_error_packages_are_there_again(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(ZeroDivisionError), lean_import():
        raise ZeroDivisionError
    assert find_spec("jax")
