"""Commands as processes of their own that need not import Optuna, MLflow and pandas first.

`Popen` and `run` are those of `subprocess`, for commands of this interpreter. One server per session
of tests imports once what commands import, and forks for each: what runs is a real process, with its
own number, session, folder, environment and streams, which signals stop and kill and whose exit status
is its own. Only the two seconds of imports are left out. A command that has to start as a person starts
it (installed, cold, with nothing imported) is for `subprocess` itself.

The server imports no backend: threads of TensorFlow would not survive the fork.
"""

from __future__ import annotations

import gc
import os
import pickle
import pkgutil
import random
import runpy
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

IMPORTED = (
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.datasets",
    "sqlalchemy.dialects.sqlite",
)
"""What commands import on their way, beside the modules of normsweep and what those import."""
HERE = Path(__file__)
STARTING = 120.0


@dataclass(frozen=True)
class Job:
    """What a process is to be: as `subprocess` has it."""

    command: tuple[str, ...]
    folder: str
    environment: dict[str, str]


class Popen(subprocess.Popen):
    """A command of this interpreter, `[sys.executable, "-m", …]`, `"-c"` or a script, forked.

    The process is the server's child, and so the server tells how it ended. It leads a session, and
    so a group, of its own.
    """

    _address = ""
    _life: socket.socket | None = None

    @classmethod
    def use(cls, folder: Path) -> None:
        """Have one server for all who name this folder."""
        cls._address, cls._folder = f"\0{folder}/forkserver", folder

    def _execute_child(self, args: Any, *others: Any) -> None:
        """In place of fork and exec; `subprocess` has its pipes by now."""
        cwd, env, pipes = others[4], others[5], others[9:15]
        stdin, _, _, stdout, _, stderr = pipes
        command = tuple(map(str, args))
        assert command[0] == sys.executable, command
        job = Job(command[1:], str(cwd or Path.cwd()), dict(os.environ if env is None else env))
        streams = [
            own if own >= 0 else number for number, own in enumerate((stdin, stdout, stderr))
        ]
        self._ended = self._connected()
        content = pickle.dumps(job)
        socket.send_fds(self._ended, [struct.pack("!Q", len(content))], streams)
        self._ended.sendall(content)
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        (self.pid,) = struct.unpack("!i", self._ended.recv(4, socket.MSG_WAITALL))
        self._child_created = True

    def _waited(self, pid: int, flags: int) -> tuple[int, int]:
        """`os.waitpid`, which is for children only."""
        try:
            status = self._ended.recv(4, socket.MSG_DONTWAIT if flags & os.WNOHANG else 0)
        except BlockingIOError:
            return 0, 0
        self._ended.close()
        return pid, struct.unpack("!i", status)[0]

    def _internal_poll(self, _deadstate: Any = None, **_: Any) -> int | None:
        return super()._internal_poll(_deadstate, _waitpid=self._waited)  # type: ignore[misc]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        return self._waited(self.pid, wait_flags)

    @classmethod
    def _connected(cls) -> socket.socket:
        """A connection to the server, which is started where there is none."""
        from filelock import FileLock

        if cls._life is None:
            with FileLock(cls._folder / "forkserver.lock"):
                cls._life = cls._tried() or cls._started()
        connection = cls._tried()
        assert connection is not None, (cls._folder / "forkserver.log").read_text()
        return connection

    @classmethod
    def _started(cls) -> socket.socket:
        with (cls._folder / "forkserver.log").open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, str(HERE), cls._address[1:]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + STARTING
        while (connection := cls._tried()) is None:
            assert server.poll() is None, (cls._folder / "forkserver.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return connection

    @classmethod
    def _tried(cls) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(cls._address)
        except OSError:
            connection.close()
            return None
        return connection


def run(command: Sequence[Any], **options: Any) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` with a `Popen` of ours: `capture_output`, `check` and what `Popen` takes."""
    check = options.pop("check", False)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        output, errors = process.communicate()
    done = subprocess.CompletedProcess(command, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


def modules() -> Iterator[str]:
    """All of normsweep's but those that are commands, which are run afresh, and those that import JAX."""
    for found in pkgutil.walk_packages(import_module("normsweep").__path__, "normsweep."):
        file = find_spec(found.name).origin  # type: ignore[union-attr]
        text = Path(str(file)).read_text()
        if "__main__" not in text and "\nimport jax" not in text:
            yield found.name


class Server:
    """Listens, forks, and tells each client how its process ended; ends with its last client."""

    def __init__(self, address: str) -> None:
        before = set(os.environ)
        for name in (*IMPORTED, *modules()):
            import_module(name)
        assert not {"tensorflow", "jax", "ray"} & set(sys.modules)
        self._set = {name: value for name, value in os.environ.items() if name not in before}
        gc.collect()
        gc.freeze()  # a collection would copy what is shared
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{address}")
        self._listener.listen(64)
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._listener, selectors.EVENT_READ, self._take)
        self._clients = 0

    def serve(self) -> Job:
        """Returns in a process that was forked, what it is to do; in the server, never."""
        while True:
            for key, _ in self._waiting.select():
                job = key.data(key.fileobj)
                if job is not None:
                    return job

    def _take(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        self._waiting.register(client, selectors.EVENT_READ, self._hear)
        self._clients += 1

    def _hear(self, client: socket.socket) -> Job | None:
        """What a client wants; nothing more is heard of one that is gone, and nothing of the others."""
        head, streams, *_ = socket.recv_fds(client, 8, 3)
        if not head:
            self._forget(client)
            return None
        (size,) = struct.unpack("!Q", head)
        content = b""
        while len(content) < size:
            content += client.recv(size - len(content))
        job: Job = pickle.loads(content)
        pid = os.fork()
        if not pid:
            self._become(job, streams)
            return job
        for stream in streams:
            os.close(stream)
        client.sendall(struct.pack("!i", pid))
        ended = os.pidfd_open(pid)
        self._waiting.register(
            ended, selectors.EVENT_READ, lambda _: self._tell(client, pid, ended)
        )
        return None

    def _tell(self, client: socket.socket, pid: int, ended: int) -> None:
        self._waiting.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(pid, 0)
        try:
            client.sendall(struct.pack("!i", status))
        except OSError:  # whoever started it is gone
            return

    def _forget(self, client: socket.socket) -> None:
        self._waiting.unregister(client)
        client.close()
        self._clients -= 1
        if not self._clients:
            os._exit(0)

    def _become(self, job: Job, streams: list[int]) -> None:
        """Leave nothing of the server in a process that was forked."""
        for key in list(self._waiting.get_map().values()):
            os.close(key.fd)
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.detach()
        self._waiting.close()
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for stream in streams:
            os.close(stream)
        os.chdir(job.folder)
        os.environ.clear()
        os.environ.update({**self._set, **job.environment})
        random.seed()
        sys.modules["numpy"].random.seed()


def as_given(job: Job) -> dict[str, Any]:
    """Do what the interpreter does with its arguments; the globals that were left."""
    what, *rest = job.command
    if what == "-m":
        sys.argv, sys.path[0] = rest, job.folder
        sys.modules.pop(rest[0], None)
        return runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    if what == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(rest[0], "<string>", "exec"), names)
        return names
    sys.argv, sys.path[0] = [what, *rest], str(Path(what).parent)
    return runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    sys.path[0] = str(HERE.parent.parent)
    as_given(Server(sys.argv[1]).serve())
