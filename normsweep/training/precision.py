"""`model.precision = "auto"`: bfloat16 if this machine computes in it, and what a training step costs in each.

Without bfloat16 arithmetic every operation converts to float32 and back: a step then takes several times as long
as in float32.
"""

from __future__ import annotations

import os
from pathlib import Path

from normsweep.training.reproducibility import backend, gpus

__all__ = ["BFLOAT16", "FLOAT32", "automatic_precision", "processor_computes_bfloat16"]

FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Flags of processors with bfloat16 arithmetic. No Mac has them."""
LIMITED = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
)
"""Values of ONEDNN_MAX_CPU_ISA with which oneDNN does not use these instructions."""
CAPABILITY = 8.0
"""Compute capability from which an NVIDIA GPU computes in bfloat16: Ampere."""


def automatic_precision() -> str:
    """The precision that `auto` means in this process, whose backend has its environment and its GPU."""
    return BFLOAT16 if _computes_bfloat16() else FLOAT32


def processor_computes_bfloat16(cpuinfo: Path | None = None) -> bool:
    """Whether the processor has bfloat16 arithmetic that TensorFlow uses; imports no backend.

    `cpuinfo`: a file like /proc/cpuinfo, which is the default.
    """
    try:
        lines = (cpuinfo or CPUINFO).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    # oneDNN has the kernels; TensorFlow's own loops, which it uses otherwise, are slower still.
    used = os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return used and limit not in LIMITED and any(flag in flags for flag in INSTRUCTIONS)


def _computes_bfloat16() -> bool:
    if gpus():
        return _gpu_capability() >= CAPABILITY
    # JAX compiles with XLA, which converts to float32 on a CPU.
    return backend() == "tensorflow" and processor_computes_bfloat16()


def _gpu_capability() -> float:
    """The compute capability of the first GPU; 0 if it has none, as GPUs of other makers."""
    if backend() == "jax":
        from jax import devices  # pyright: ignore[reportMissingImports]

        text = str(getattr(devices()[0], "compute_capability", "0"))
        return float(text) if text.replace(".", "", 1).isdigit() else 0.0
    import tensorflow as tf

    gpu = tf.config.list_physical_devices("GPU")[0]
    major, minor = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
    return float(f"{major}.{minor}")
