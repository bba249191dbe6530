"""Delivering to MLflow what a study's record has and it lacks, with no trial run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from normsweep.driver.background import Background
from normsweep.driver.delivery import Delivery
from normsweep.driver.signals import Signals
from normsweep.palette import of_arms
from normsweep.search import Archive, holding, load_study
from normsweep.tracking import Tracker

__all__ = ["sync_study"]


def sync_study(
    name: str,
    storage: str,
    tracking_uri: str,
    say: Callable[[str], None],
    root: Path = Path("mlruns"),
) -> bool:
    """Deliver the trials of a study that no run of MLflow holds whole, once each.

    Args:
        name: the study's.
        storage: URL of Optuna's database.
        tracking_uri: of MLflow.
        say: told what was done.
        root: folder for artifacts where MLflow's store is a local database.

    Returns:
        Whether MLflow has all of it.

    Raises:
        StoreError: the study or a store is not there, or another process runs the study.
        Interrupted: SIGINT or SIGTERM; what was delivered is marked.
    """
    study = load_study(storage, name)
    with Signals() as signals, holding(storage, name), Background() as background:
        archive = Archive(study)
        info = archive.info
        if not info.begun:
            say(f"{name}: has no trial yet")
            return True
        tags = {"normsweep.executor": "sync"}
        colours = of_arms(info.arms, str(info.sweep["reference"]))
        tracker = Tracker(
            tracking_uri,
            name,
            info.id,
            root / "artifacts",
            tags,
            metric=info.sweep["metric"],
            colours=colours,
        )
        with Delivery(archive, tracker, info.data, say, background) as delivery:
            lacking = delivery.lacking()
            left = delivery.deliver(signals)
        say(
            f"{name}: delivered {len(lacking) - len(left)} of {len(lacking)} trials that MLflow lacked"
        )
        return not left
