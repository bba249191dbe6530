"""What makes results reproducible bit for bit: device, threads, seed, precision, digests."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from normsweep.errors import DeviceError

__all__ = [
    "Device",
    "backend",
    "config_digest",
    "environment",
    "gpus",
    "limit_gpu_memory",
    "machine",
    "package_versions",
    "precision",
    "require",
    "seeded",
    "xla_is_faster",
]

Device = Literal["auto", "cpu", "gpu"]

PRODUCTS = "JAX_DEFAULT_MATMUL_PRECISION"
SEEDING = threading.RLock()
"""Lock of the process's global random states: studies in other threads wait."""


def environment(device: Device, threads: int) -> dict[str, str]:
    """Environment variables to set before the backend is imported.

    Results depend bit for bit on threads, oneDNN and op determinism, so these are fixed here for
    every executor and stored with every trial.
    """
    variables = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # the numbering of nvidia-smi, used to assign GPUs to workers
        PRODUCTS: os.environ.get(PRODUCTS, "float32"),
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "NPROC": str(threads),  # threads of XLA's pool on a CPU, for JAX
        "OMP_NUM_THREADS": str(threads),
        "PJRT_NPROC": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        "TF_DETERMINISTIC_OPS": "1",
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    if device == "cpu":
        variables |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    return variables


def limit_gpu_memory() -> None:
    """Limit this worker's GPU memory to NORMSWEEP_GPU_MEMORY_MIB, if that is set.

    JAX reads its limit from the environment; TensorFlow's must be set before it uses the GPU.
    """
    limit = os.environ.get("NORMSWEEP_GPU_MEMORY_MIB")
    if limit is None or backend() != "tensorflow":
        return
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        configuration = tf.config.LogicalDeviceConfiguration(memory_limit=int(limit))
        tf.config.set_logical_device_configuration(gpu, [configuration])


def require(device: Device) -> None:
    """Check that the requested device is available.

    Raises:
        DeviceError: `gpu` is requested and the backend sees none.
    """
    if device == "gpu" and not gpus():
        needed = "jax[cuda12]" if backend() == "jax" else "normsweep[cuda]"
        raise DeviceError(
            f"--device: no GPU is visible to {backend()}; use --device cpu, or check that nvidia-smi "
            f"lists one and run pip install '{needed}'"
        )


@functools.cache
def machine() -> Mapping[str, str]:
    """The machine of a trial: device and its name, threads, backend, versions."""
    name = backend()
    return {
        "device": _device_name(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "default"),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "backend": name,
        f"{name}_version": version(name),
        **_products(name),
        "keras_version": version("keras"),
        **package_versions(),
    }


def _products(name: str) -> dict[str, str]:
    """In which precision a GPU multiplies with JAX, which takes TF32 for float32 if nothing is said."""
    return (
        {"products": os.environ[PRODUCTS]}
        if name == "jax" and gpus() and PRODUCTS in os.environ
        else {}
    )


def package_versions() -> dict[str, str]:
    """Package versions that every trial depends on, even with the synthetic model."""
    packages = ("numpy", "normsweep")
    versions = {f"{name}_version": version(name) for name in packages}
    return {"python_version": platform.python_version(), **versions}


def backend() -> str:
    """Name of Keras's backend."""
    import keras

    return keras.backend.backend()


def gpus() -> list[str]:
    """The GPUs that the backend sees."""
    import keras

    # `list_devices("gpu")` raises an error in JAX if there is none.
    return [name for name in keras.distribution.list_devices() if name.startswith("gpu")]


def xla_is_faster() -> bool:
    """Whether models are compiled by XLA, which is about twice as slow as plain graphs on a CPU."""
    return backend() == "jax" or bool(gpus())


def _device_name() -> str:
    if not gpus():
        return f"CPU: {_cpu_name()}"
    if backend() == "jax":
        from jax import devices  # pyright: ignore[reportMissingImports]

        return f"GPU: {devices()[0].device_kind}"
    import tensorflow as tf

    details: Mapping[str, str] = tf.config.experimental.get_device_details(
        tf.config.list_physical_devices("GPU")[0]
    )
    return f"GPU: {details.get('device_name', 'unknown')}"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or platform.machine()
    return (
        f"{name}, {len(os.sched_getaffinity(0))} cores"
        if hasattr(os, "sched_getaffinity")
        else name
    )


def config_digest(config: Any) -> str:
    """SHA-256 of a Keras configuration, its layers renumbered from 0, hexadecimal."""
    names: dict[str, str] = {}
    _collect_names(config, names)
    return hashlib.sha256(json.dumps(_renamed(config, names), sort_keys=True).encode()).hexdigest()


def arrays_digest(arrays: Iterable[np.ndarray[Any, Any]]) -> str:
    """SHA-256 over arrays in their order, their dtypes and shapes, hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _collect_names(config: Any, names: dict[str, str]) -> None:
    if isinstance(config, dict):
        if isinstance(config.get("name"), str):
            names.setdefault(config["name"], f"layer_{len(names)}")
        for value in config.values():
            _collect_names(value, names)
    elif isinstance(config, list | tuple):
        for value in config:
            _collect_names(value, names)


def _renamed(config: Any, names: dict[str, str]) -> Any:
    if isinstance(config, dict):
        return {key: _renamed(value, names) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_renamed(value, names) for value in config]
    if isinstance(config, str):
        return names.get(config, config)
    return config if isinstance(config, bool | int | float | None) else str(config)


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Use a Keras dtype policy for layers that are created while the context is active."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set Keras's global seed; Python's and NumPy's global random states are restored afterwards."""
    import keras

    with SEEDING:
        python_state, numpy_state = random.getstate(), np.random.get_state()
        keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
