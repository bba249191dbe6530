"""Studies in MLflow: the only package that imports it."""

from normsweep.tracking.settings import mlflow_settings

with mlflow_settings():  # it decides about telemetry when it is imported
    import mlflow  # noqa: F401  (before its submodules, as it wants to be)
