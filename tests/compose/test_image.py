"""The image: Dockerfile, locks, and what is sent to the builder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def test_services_with_the_same_image_build_the_same() -> None:
    assert {(s["image"], str(s["build"])) for s in OURS.values()} == {
        ("normsweep:0.1.0", "."),
        ("normsweep:0.1.0-cuda", str(SERVICES["gpu-worker"]["build"])),
    }
    assert set(SERVICES) - set(OURS) == {"postgres"}


def locks() -> list[Path]:
    """What the Dockerfile installs from, in either image."""
    default = re.search(r"^ARG REQUIREMENTS=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert default
    other = SERVICES["gpu-worker"]["build"]["args"]["REQUIREMENTS"]
    return [ROOT / "requirements" / f"{name}.txt" for name in (default[1], other)]


def test_the_dockerfile_is_pinned_and_installs_by_hashes() -> None:
    assert re.search(r"^FROM python:3\.11\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    installs = re.findall(r"\bpip install (.*)$", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes" in install or "--no-deps" in install
    assert "-r requirements/${REQUIREMENTS}.txt" in DOCKERFILE
    assert all("--hash=sha256:" in lock.read_text() for lock in locks())


def test_both_images_have_the_same_versions_and_one_has_cuda() -> None:
    server, cuda = (
        dict(re.findall(r"^([\w.\[\]-]+)==(\S+)", lock.read_text(), re.MULTILINE))
        for lock in locks()
    )
    assert {name: cuda[name] for name in server} == server
    assert {name.partition("-")[0] for name in cuda.keys() - server.keys()} == {"nvidia"}


def test_the_image_has_the_user_that_services_name() -> None:
    (user,) = {service["user"] for service in OURS.values()}
    assert f"USER {user}" in DOCKERFILE
    assert f"--uid {user.partition(':')[0]} " in DOCKERFILE


def test_the_environment_file_is_neither_committed_nor_sent_to_the_builder() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert IGNORED[0] == "*"
    assert not any(line.startswith("!.") for line in IGNORED)


def test_what_the_package_is_built_from_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in IGNORED if line.startswith("!")}
    assert sent == {"LICENSE", "README.md", "normsweep", "pyproject.toml", "requirements", "sweeps"}
    assert all((ROOT / path).exists() for path in sent)
