"""Optuna's dashboard: `python -m normsweep.search.dashboard HOST PORT`, a process of its own.

The storage comes by OPTUNA_STORAGE: an address on a command line is seen by all of the machine.
"""

from __future__ import annotations

import os
import sys

from normsweep.search.storage import open_storage

__all__ = ["main"]


def main() -> None:
    """Serve until the process is ended."""
    from optuna_dashboard import run_server  # pyright: ignore[reportMissingImports]

    host, port = sys.argv[1], int(sys.argv[2])
    run_server(open_storage(os.environ["OPTUNA_STORAGE"], create=False), host=host, port=port)


if __name__ == "__main__":
    main()
