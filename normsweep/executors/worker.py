"""The worker process: `python -m normsweep.executors.worker`, messages on its standard streams.

It ends when its standard input ends, so that no worker outlives its driver, however that dies.
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
from normsweep.parts.catalog import register_components
from normsweep.sweep.trial import Epoch, Result, Status
from normsweep.text import reason
from normsweep.training.engine import Engine, Finished

__all__ = ["main"]


def main() -> None:
    """Read the `WorkerOptions`, then work through what comes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the driver decides what they stop
        signal.signal(number, signal.SIG_IGN)
    outbox = _claim_stdout()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, inbox), daemon=True).start()
    options: WorkerOptions = inbox.get()
    engine = make_engine(options.data_root, options.trained)
    broken = _unpacked(options.parts) or _warm(engine)
    while True:
        match inbox.get():
            case Train() as job:
                if broken is None:
                    _train(engine, job, options.asks, inbox, outbox)
                else:
                    _refuse(job, broken, outbox)
            case Call() as job:
                _send(outbox, Raised(broken) if broken else answer(engine, job))


def _unpacked(parts: bytes) -> UserError | None:
    """Take parts that came with the driver; what to tell where that fails."""
    try:
        register_components(parts)
    except UserError as error:
        return error
    return None


def _warm(engine: Engine) -> UserError | None:
    """Import the backend; what to tell the first caller where that fails."""
    try:
        engine.warm()
    except Exception as error:
        backend = os.environ.get("KERAS_BACKEND")
        return UserError(
            f"KERAS_BACKEND: received {backend}, which cannot be imported ({reason(error, kind=True)}); legal: "
            "tensorflow, or jax where it is installed (pip install normsweep[jax])"
        )
    return None


def _claim_stdout() -> BinaryIO:
    """Standard output as the channel of messages; what is printed goes to standard error."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return channel


def _read(stream: BinaryIO, inbox: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            inbox.put(pickle.load(stream))
        except EOFError:
            _leave()
        except BaseException:  # without this thread the worker would wait for ever
            traceback.print_exc()
            os._exit(1)


def _send(outbox: BinaryIO, message: Any) -> None:
    try:
        pickle.dump(message, outbox)
        outbox.flush()
    except BrokenPipeError:
        _leave()


def _leave() -> None:
    """End at once, with whatever this process started: the driver is gone."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(0)


def _refuse(job: Train, broken: UserError, outbox: BinaryIO) -> None:
    """A trial that this process cannot train; on a cluster another node may."""
    number = job.trial.number
    _send(outbox, Begun(number))
    _send(outbox, Finished(Result(number, Status.CRASHED, started=time.time(), error=str(broken))))


def _train(
    engine: Engine, job: Train, asks: bool, inbox: queue.SimpleQueue[Any], outbox: BinaryIO
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
        if asks and isinstance(event, Epoch):
            reply: Reply = inbox.get()
            go_on = reply.go_on


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # an ordinary exit would abort over the thread that reads
        traceback.print_exc()
        os._exit(1)
