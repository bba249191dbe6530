"""Python as on Windows, for the modules of normsweep alone: with this folder on PYTHONPATH it lacks what only
POSIX or Linux has. Other packages, of which each has its own way with each system, see everything.
"""

import builtins
import os
import sys
import types

LACKING = {
    "os": (
        "O_NOFOLLOW", "chown", "fchmod", "fchown", "fork", "getegid", "geteuid", "getgid", "getpgid", "getuid",
        "killpg", "mkfifo", "nice", "pathconf", "sched_getaffinity", "setsid", "statvfs", "sysconf", "uname", "wait4",
    ),
    "signal": (
        "ITIMER_REAL", "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1", "SIGUSR2", "alarm",
        "getitimer", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "sigwait",
    ),
}  # fmt: skip
MISSING = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
PASSED_THROUGH = ("codecs", "io", "pathlib", "os", "sitecustomize")
"""Modules that open files for others."""

real_import = builtins.__import__


class Without(types.ModuleType):
    """A module without some of its names."""

    def __init__(self, module, lacking):
        super().__init__(module.__name__)
        self.__dict__.update({k: v for k, v in vars(module).items() if k not in lacking})


def as_there(name, globals=None, locals=None, fromlist=(), level=0):
    module = real_import(name, globals, locals, fromlist, level)
    if level == 0 and str((globals or {}).get("__name__")).partition(".")[0] == "normsweep":
        if name in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in LACKING:
            return Without(module, LACKING[name])
    return module


def without_proc(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc/"):
        frame = sys._getframe(1)
        while frame and frame.f_globals.get("__name__") in PASSED_THROUGH:
            frame = frame.f_back
        if frame and str(frame.f_globals.get("__name__")).startswith("normsweep"):
            raise FileNotFoundError(2, "No such file or directory", arguments[0])


if "NORMSWEEP_OTHER_SYSTEM" in os.environ:
    builtins.__import__ = as_there
    sys.addaudithook(without_proc)
