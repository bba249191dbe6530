"""Which processors compute in bfloat16, and what a training step costs where they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from normsweep.training import precision
from normsweep.training.engine import automatic_precision, slow_precision
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.precision import processor_computes_bfloat16
from normsweep.training.synthetic_engine import SyntheticEngine
from tests.conftest import make_trial

GENOA = "flags\t\t: fpu sse avx2 avx512f avx512_bf16 avx512vl\n"
ICE_LAKE = "flags\t\t: fpu sse avx2 avx512f avx512vl\n"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch) -> Path:
    """What this process takes for /proc/cpuinfo."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPUINFO", path)
    return path


@pytest.mark.parametrize(
    ("content", "computes"),
    [
        pytest.param(f"processor\t: 0\n{GENOA}\nprocessor\t: 1\n{GENOA}", True, id="genoa"),
        pytest.param("flags : fpu amx_bf16 amx_tile\n", True, id="amx"),
        pytest.param(f"processor\t: 0\n{ICE_LAKE}", False, id="ice-lake"),
        pytest.param("model name : avx512_bf16\nflags : fpu\n", False, id="a-name"),
        pytest.param("Features\t: fp asimd bf16\n", False, id="arm"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="no-such-file"),
    ],
)
def test_a_processor_is_known_by_its_flags(content, computes, tmp_path):
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    assert processor_computes_bfloat16(tmp_path / "cpuinfo") is computes


@pytest.mark.parametrize(
    ("name", "value", "computes"),
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", False),
        ("ONEDNN_MAX_CPU_ISA", "avx2", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", True),
        ("ONEDNN_MAX_CPU_ISA", "ALL", True),
        ("TF_ENABLE_ONEDNN_OPTS", "0", False),
        ("TF_ENABLE_ONEDNN_OPTS", "1", True),
    ],
)
def test_instructions_that_the_environment_turns_off_do_not_count(
    name, value, computes, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(GENOA)
    monkeypatch.setenv(name, value)
    assert processor_computes_bfloat16(tmp_path / "cpuinfo") is computes


def test_this_machine_is_read_from_the_kernel():
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.exists() else ""
    assert processor_computes_bfloat16() is ("avx512_bf16" in flags or "amx_bf16" in flags)


@pytest.mark.parametrize(("flags", "chosen"), [(GENOA, "mixed_bfloat16"), (ICE_LAKE, "float32")])
def test_without_a_gpu_the_processor_decides(cpuinfo, digits_root, flags, chosen):
    cpuinfo.write_text(flags)
    assert automatic_precision(KerasEngine(digits_root)) == chosen
    assert automatic_precision(SyntheticEngine(digits_root)) == "float32"


def test_a_cost_is_measured_only_where_bfloat16_is_not_computed(cpuinfo, digits_root, digits_key):
    engine, trial = KerasEngine(digits_root), make_trial(data=digits_key, model="mlp")
    half = replace(trial, precision="mixed_bfloat16")
    cpuinfo.write_text(ICE_LAKE)
    seconds = slow_precision(engine, half)
    assert list(seconds) == ["mixed_bfloat16", "float32"]
    assert all(each > 0 for each in seconds.values())
    assert not slow_precision(engine, trial)
    assert not slow_precision(SyntheticEngine(digits_root), half)
    cpuinfo.write_text(GENOA)
    assert not slow_precision(engine, half)
