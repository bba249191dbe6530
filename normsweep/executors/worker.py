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
from collections.abc import Iterator
from typing import Any, BinaryIO

import psutil

from normsweep.errors import StudyStopped, UserError
from normsweep.executors.protocol import (
    Begun,
    ByItself,
    Call,
    Raised,
    Reply,
    Train,
    WorkerOptions,
    answer,
    make_engine,
    stack_kind,
)
from normsweep.sweep.trial import Epoch, Result, Status
from normsweep.text import reason
from normsweep.training.backend_import import lean_import
from normsweep.training.engine import Engine, Finished, Training

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
    trainings = _Trainings(engine, options, inbox, outbox)
    while True:
        for message in trainings.messages():
            match message:
                case Train() as job if broken:
                    _reject(job, broken, outbox)
                case Train() as job:
                    trainings.start(job)
                case Reply() as reply:
                    trainings.answer(reply)
                case Call() as job:
                    _send(outbox, Raised(broken) if broken else answer(engine, job))
        trainings.go_on()


class _Trainings:
    """The trials that a worker trains: those of its stacks together, others one after another."""

    def __init__(
        self,
        engine: Engine,
        options: WorkerOptions,
        inbox: queue.SimpleQueue[Any],
        outbox: BinaryIO,
    ) -> None:
        self._engine, self._options = engine, options
        self._inbox, self._outbox = inbox, outbox
        self._running: dict[int, Training] = {}
        self._replies: dict[int, bool | None] = {}
        """What the trials are sent that can go on."""
        self._waiting: set[int] = set()
        """Those that wait for the others of their stack."""
        self._new: dict[int, Train] = {}
        """Those that have not begun."""
        self._stacked: set[int] = set()
        self._put_off: list[Any] = []
        """Messages that came while a trial was trained by itself."""

    def messages(self) -> Iterator[Any]:
        """What is to be done before the trials go on; waits if none of them can."""
        while self._put_off:
            yield self._put_off.pop(0)
        while (
            not self._running or len(self._replies) < len(self._running) or not self._inbox.empty()
        ):
            yield self._inbox.get()

    def start(self, job: Train) -> None:
        """Take a trial in; it is set up when it goes on."""
        number = job.trial.number
        self._running[number] = self._engine.train(job.trial, job.policy, job.start)
        self._replies[number] = None
        self._new[number] = job

    def answer(self, reply: Reply) -> None:
        """What the driver says to a trial's epoch."""
        self._replies[reply.trial] = reply.go_on

    def go_on(self) -> None:
        """Train each trial until it waits for others; if all do, those of the stacks for an epoch.

        Messages come first where one has ended: the next one may be trained by itself, which takes long.
        """
        if ready := self._replies.keys() - self._waiting:
            for number in sorted(ready):
                self._train(number)
                if number not in self._running:
                    break
        else:
            self._engine.advance()
            self._waiting.clear()

    def _train(self, number: int) -> None:
        """Run a trial until it waits for others, for a reply, or has ended.

        The model of a trial by itself is also that of others, which do not begin before its end.
        """
        job = self._new.pop(number, None)
        if job is not None:
            _send(self._outbox, Begun(number))
        while True:
            try:
                event = self._running[number].send(self._replies[number])
            except StopIteration as end:
                del self._running[number], self._replies[number]
                self._stacked.discard(number)
                _send(self._outbox, end.value)
                return
            self._replies[number] = None
            if event is None:
                self._stacked.add(number)
                self._waiting.add(number)
                return
            if job is not None and isinstance(event, Epoch):
                self._hand_back(job)
                job = None
            _send(self._outbox, event)
            if self._options.awaits_reply and isinstance(event, Epoch):
                if number in self._stacked:
                    del self._replies[number]
                    return
                self._wait_for_reply(number)

    def _hand_back(self, job: Train) -> None:
        """If a trial is the first of its kind that is not trained in a stack, give those back that have not begun."""
        number, kind = job.trial.number, stack_kind(job.trial)
        in_stacks = self._options.trained and self._options.stack > 1
        if not in_stacks or number in self._stacked or job.start is not None:
            return  # a trial that resumes reports epochs before it joins a stack
        back = [n for n, each in self._new.items() if stack_kind(each.trial) == kind]
        for each in back:
            del self._new[each], self._running[each], self._replies[each]
        for message in [self._inbox.get() for _ in range(self._inbox.qsize())]:
            if isinstance(message, Train) and stack_kind(message.trial) == kind:
                back.append(message.trial.number)
            else:
                self._inbox.put(message)
        _send(self._outbox, ByItself(number, tuple(back)))

    def _wait_for_reply(self, number: int) -> None:
        while self._replies[number] is None:
            match self._inbox.get():
                case Reply() as reply if reply.trial == number:
                    self.answer(reply)
                case Call():  # the driver waits for it, and would not reply meanwhile
                    busy = StudyStopped("the worker is busy with a trial")
                    _send(self._outbox, Raised(busy))
                case message:
                    self._put_off.append(message)


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
            "tensorflow, or jax after pip install 'normsweep[jax]'"
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


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # a normal exit would abort because of the reading thread
        traceback.print_exc()
        os._exit(1)
