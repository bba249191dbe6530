"""The package's face: what it offers, and that to import it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import normsweep

HEAVY = (
    "tensorflow",
    "keras",
    "pandas",
    "numpy",
    "optuna",
    "mlflow",
    "pydantic",
    "rich",
    "cyclopts",
)


def test_everything_in_all_is_there_and_nothing_else():
    for name in normsweep.__all__:
        assert getattr(normsweep, name) is not None
        assert name in dir(normsweep)
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        normsweep.runn  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    code = f"import normsweep, sys; print(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_functions_are_imported_without_a_backend():
    code = (
        "from normsweep import run, load, Study, Sweep; import sys; print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
