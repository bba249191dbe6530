"""The worker process: `python -m normsweep.executors.worker`, messages on its standard streams.

It exits when its standard input is closed, so that no worker outlives its driver.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any, BinaryIO

import psutil

from normsweep.errors import UserError
from normsweep.executors.protocol import (
    Begun,
    Call,
    Raised,
    Reply,
    Train,
    WorkerOptions,
    answer,
    make_engine,
)
from normsweep.sweep.trial import Epoch, Result, Status
from normsweep.text import reason
from normsweep.training.backend_import import lean_import
from normsweep.training.engine import Engine, Finished

__all__ = ["main"]


def main() -> None:
    """Read the `WorkerOptions`, then process messages until standard input is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # handled by the driver
        signal.signal(number, signal.SIG_IGN)
    outbox = _claim_stdout()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, inbox), daemon=True).start()
    options: WorkerOptions = inbox.get()
    engine = make_engine(options)
    broken = _import_backend(engine) or _unpack(options.parts)
    while True:
        match inbox.get():
            case Train() as job:
                if broken is None:
                    _train(engine, job, options.awaits_reply, inbox, outbox)
                else:
                    _reject(job, broken, outbox)
            case Call() as job:
                _send(outbox, Raised(broken) if broken else answer(engine, job))


def _unpack(parts: bytes) -> UserError | None:
    """Register the custom components sent by the driver; the error if that fails."""
    if not parts:
        return None
    from normsweep.parts.catalog import register_components  # and with it what reads sweep files

    try:
        register_components(parts)
    except UserError as error:
        return error
    return None


def _import_backend(engine: Engine) -> UserError | None:
    """Import the backend; the error if that fails."""
    try:
        with lean_import():
            engine.warm()
    except Exception as error:
        backend = os.environ.get("KERAS_BACKEND")
        return UserError(
            f"KERAS_BACKEND: {backend} cannot be imported ({reason(error, kind=True)}); use "
            "tensorflow, or jax after pip install normsweep[jax]"
        )
    return None


def _claim_stdout() -> BinaryIO:
    """Reserve standard output for messages; printed output goes to standard error."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return channel


def _read(stream: BinaryIO, inbox: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            inbox.put(pickle.load(stream))
        except EOFError:
            _exit_now()
        except BaseException:  # without this thread the worker would hang
            traceback.print_exc()
            os._exit(1)


def _send(outbox: BinaryIO, message: Any) -> None:
    try:
        pickle.dump(message, outbox)
        outbox.flush()
    except BrokenPipeError:
        _exit_now()


def _exit_now() -> None:
    """Exit at once and kill all child processes: the driver is gone."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(0)


def _reject(job: Train, broken: UserError, outbox: BinaryIO) -> None:
    """Report a trial that this process cannot train as crashed; on a cluster another node may."""
    number = job.trial.number
    _send(outbox, Begun(number))
    _send(outbox, Finished(Result(number, Status.CRASHED, started=time.time(), error=str(broken))))


def _train(
    engine: Engine, job: Train, awaits_reply: bool, inbox: queue.SimpleQueue[Any], outbox: BinaryIO
) -> None:
    _send(outbox, Begun(job.trial.number))
    training = engine.train(job.trial, job.policy, job.start)
    go_on: bool | None = None
    while True:
        try:
            event = training.send(go_on)
        except StopIteration as end:
            _send(outbox, end.value)
            return
        _send(outbox, event)
        go_on = True
        if awaits_reply and isinstance(event, Epoch):
            reply: Reply = inbox.get()
            go_on = reply.go_on


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # a normal exit would abort because of the reading thread
        traceback.print_exc()
        os._exit(1)
