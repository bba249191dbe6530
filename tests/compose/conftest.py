"""docker-compose.yml as Compose reads it, and the server that it makes."""

from __future__ import annotations

import importlib.util
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

_spec = importlib.util.spec_from_file_location("server", Path(__file__).parent / "server.py")
assert _spec is not None
assert _spec.loader is not None
server_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(server_module)

ROOT = Path(__file__).parent.parent.parent
SERVERS = ("postgres", "record", "ray-head", "mlflow", "worker", "dashboard")
"""In an order in which they start side by side."""


class Refused(Exception):
    """A variable that has to be set is not."""


def interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    """With `${NAME}`, `${NAME:-default}` and `${NAME:?message}` replaced, as Compose does it."""
    if isinstance(node, dict):
        return {key: interpolated(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, variables) for value in node]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if kind == "?":
            raise Refused(f"required variable {name} is missing a value: {rest}")
        return rest or ""

    innermost = r"\$\{(\w+)(?::([?-])([^${}]*))?\}"
    while (replaced := re.sub(innermost, value, node)) != node:
        node = replaced
    return node


@pytest.fixture(scope="session")
def raw() -> dict[str, Any]:
    """The file, its anchors resolved."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="session")
def read(raw: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """The file as it is with these variables set."""
    return lambda **variables: interpolated(raw, variables)


@pytest.fixture(scope="session")
def refused() -> type[Exception]:
    return Refused


@pytest.fixture(scope="session")
def given_secrets() -> dict[str, str]:
    return {name: secrets.token_hex(32) for name in ("POSTGRES_PASSWORD", "RAY_AUTH_TOKEN")}


@pytest.fixture(scope="session")
def server(read: Callable[..., dict[str, Any]], given_secrets: dict[str, str]) -> Iterator[Any]:
    """The whole server of a profile; its study is yet to be started."""
    # Below /tmp itself: the names of Ray's sockets have room for no more.
    with tempfile.TemporaryDirectory(
        prefix="ns-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        Path(folder).chmod(0o755)
        server = server_module.Server(read(**given_secrets), Path(folder))
        try:
            for name in SERVERS:
                server.start(name)
            yield server
        finally:
            server.stop()
