"""The machine's clock is set back and forward while a study runs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner.survival import Survivor

pytestmark = pytest.mark.slow

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long ahead(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("CLOCK_AHEAD"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(now, zone);
    if (!failed) now->tv_sec += ahead();
    return failed;
}
time_t time(time_t *kept) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept) *kept = now.tv_sec;
    return now.tv_sec;
}
"""
"""Every process that has it preloaded has a clock that is as many seconds ahead as a file says."""
YEAR = 365 * 24 * 3600


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A library with the clock of `CLOCK`."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or no Linux")
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize(
    ("way", "steps"),
    [
        ("back", (-60, -3600, -YEAR)),
        ("forward", (60, 3600, YEAR)),
        ("forward and back", (YEAR, -YEAR, 0)),
    ],
    ids=["back", "forward", "forward and back"],
)
def test_a_clock_that_is_set_while_a_study_runs_costs_nothing(tmp_path, clock, faults, way, steps):
    ahead, home = tmp_path / "ahead", tmp_path / "home"
    ahead.write_text("0")
    home.mkdir()
    study = Survivor(
        home, cold=True, options=("--n-jobs", "2", "--set", "model.options.seconds=0.2"),
        environment={"LD_PRELOAD": str(clock), "CLOCK_AHEAD": str(ahead)},
    )  # fmt: skip
    process = study.start()
    for done, seconds in enumerate(steps, start=1):
        study.wait_for_trials(3 * done, process)
        ahead.write_text(str(seconds))
    study.wait_for_trials(3 * len(steps) + 2, process)
    study.stop(process, signal.SIGINT)
    assert process.returncode == 130, study.output()
    study.finish()
    study.assert_whole()
    study.assert_stopped()
    results = [r.result for r in study.records() if r.result]
    assert all(
        result.seconds >= 0 and all(e.seconds >= 0 for e in result.curve) for result in results
    )
    started = [result.started for result in results]
    assert max(started) - min(started) > YEAR / 2
    faults(f"clock set {way}", len(steps))
