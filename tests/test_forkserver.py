"""Commands that are forked are processes like those that are started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests import forkserver

both = pytest.mark.parametrize("start", [subprocess, forkserver], ids=["started", "forked"])
SEES = """
import os, sys
print(sys.argv, os.getcwd(), os.environ["MARK"], os.environ.get("HOME"), sys.stdin.read())
print("trouble", file=sys.stderr)
sys.exit(7)
"""


@both
def test_it_has_its_own_arguments_folder_environment_streams_and_status(start, tmp_path):
    command = [sys.executable, "-c", SEES, "one", "two words"]
    with start.Popen(
        command, cwd=tmp_path, env={"MARK": "its own"}, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        said, trouble = process.communicate("heard")
    assert said == f"['-c', 'one', 'two words'] {tmp_path} its own None heard\n"
    assert trouble == "trouble\n"
    assert process.returncode == 7


@both
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_leads_a_session_and_ends_by_a_signal(start, number):
    code = "import signal, time; signal.signal(2, signal.SIG_DFL); print('up', flush=True); time.sleep(60)"
    process = start.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid != os.getsid(0)
    os.killpg(process.pid, number)
    assert process.wait(timeout=30) == -number
    process.stdout.close()


@both
def test_what_it_cannot_do_is_told_as_python_tells_it(start):
    done = start.run([sys.executable, "-c", "1 / 0"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    with pytest.raises(subprocess.CalledProcessError):
        start.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)


def test_each_draws_numbers_of_its_own():
    draw = [
        sys.executable,
        "-c",
        "import random, numpy; print(random.random(), numpy.random.rand())",
    ]
    said = {forkserver.run(draw, capture_output=True).stdout for _ in range(2)}
    assert len(said) == 2
