"""What the bits of a curve depend on: device, threads, seed, precision; digests of what was built."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from normsweep.errors import DeviceError

__all__ = [
    "Device",
    "config_digest",
    "environment",
    "gpus",
    "limit_gpu_memory",
    "machine",
    "package_versions",
    "precision",
    "require",
    "seeded",
]

Device = Literal["auto", "cpu", "gpu"]

SEEDING = threading.RLock()
"""Held while the process's random states are ours: a study in another thread waits."""


def environment(device: Device, threads: int) -> dict[str, str]:
    """Environment variables to set before the backend is imported.

    The bits of a training change with each of these (threads, oneDNN, op determinism), so they
    are fixed here, for every executor, and recorded with every trial.
    """
    variables = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # nvidia-smi's numbers, by which workers get theirs
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "NPROC": str(threads),  # of XLA's pool on a CPU, for JAX
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
    """Keep to this worker's part of a GPU that it shares, where NORMSWEEP_GPU_MEMORY_MIB says one.

    JAX takes its share from the environment; TensorFlow wants to be told before it uses the GPU.
    """
    limit = os.environ.get("NORMSWEEP_GPU_MEMORY_MIB")
    if limit is None or _backend() != "tensorflow":
        return
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        configuration = tf.config.LogicalDeviceConfiguration(memory_limit=int(limit))
        tf.config.set_logical_device_configuration(gpu, [configuration])


def require(device: Device) -> None:
    """Make sure that the device asked for is there.

    Raises:
        DeviceError: `gpu` was asked for and the backend sees none.
    """
    if device == "gpu" and not gpus():
        raise DeviceError(
            f"--device: received gpu, but {_backend()} sees none; legal: auto or cpu, or a machine "
            "with an NVIDIA GPU where `pip install normsweep[cuda]` was run (nvidia-smi lists it)"
        )


@functools.cache
def machine() -> Mapping[str, str]:
    """Where a trial runs: device and its name, threads, backend, versions."""
    backend = _backend()
    return {
        "device": _device_name(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "default"),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "backend": backend,
        f"{backend}_version": version(backend),
        "keras_version": version("keras"),
        **package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Versions that every trial depends on, trained or not."""
    packages = ("numpy", "normsweep")
    versions = {f"{name}_version": version(name) for name in packages}
    return {"python_version": platform.python_version(), **versions}


def _backend() -> str:
    import keras

    return keras.backend.backend()


def gpus() -> list[str]:
    """The GPUs that the backend sees."""
    import keras

    # Asked for GPUs by name, JAX raises where it has none.
    return [name for name in keras.distribution.list_devices() if name.startswith("gpu")]


def _device_name() -> str:
    if not gpus():
        return f"CPU: {_cpu_name()}"
    if _backend() == "jax":
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
    """SHA-256 of a Keras configuration, the names in it counted from 0, hexadecimal."""
    names: dict[str, str] = {}
    _collect_names(config, names)
    return hashlib.sha256(json.dumps(_renamed(config, names), sort_keys=True).encode()).hexdigest()


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
    """While entered, layers are made with this dtype policy of Keras's."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Keras's global seed set to `seed`; Python's and NumPy's global states put back after."""
    import keras

    with SEEDING:
        python_state, numpy_state = random.getstate(), np.random.get_state()
        keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
