"""Registering each arm's best model under the study's name, when it has been logged."""

from __future__ import annotations

from normsweep.driver.background import Background
from normsweep.reporting.console import Display
from normsweep.search import Search, StudyInfo
from normsweep.tracking import Tracker, TrackingFailed, aliases, model_uri

__all__ = ["model_uris", "register_models"]


def register_models(
    search: Search, tracker: Tracker, display: Display, background: Background
) -> list[str]:
    """Have each arm's alias mean the model that was logged for it; nothing where it does already.

    Returns:
        The arms whose model should be in the registry by now, and is not.
    """
    info = search.info
    names = aliases(info.arms)
    runs = {record.trial.number: record.run_id for record in search.records()}
    lacking = []
    for arm, model in info.models.items():
        if arm not in names:
            continue
        model_id, run_id = model["model_id"], runs.get(model["trial"], "")
        try:
            ours = background.call(
                lambda arm=arm, model_id=model_id, run_id=run_id: tracker.register(
                    arm, names[arm], model_id, run_id
                )
            )
        except TrackingFailed as error:
            display.note(f"model of {arm} not registered, the same command tries again: {error}")
            lacking.append(arm)
            continue
        if not ours:
            display.note(
                f"models not registered: MLflow has a registered model {info.name} that is not this "
                "study's; rename it, or run the study under another --study-name"
            )
            break
    return lacking


def model_uris(info: StudyInfo) -> dict[str, str]:
    """By arm, what `mlflow.pyfunc.load_model` takes for the model that was logged for it."""
    names = aliases(info.arms)
    return {arm: model_uri(info.name, names[arm]) for arm in info.models if arm in names}
