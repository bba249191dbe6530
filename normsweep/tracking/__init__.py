"""Studies in MLflow: the only package that imports it."""

from normsweep.tracking.settings import mlflow_settings

with mlflow_settings():  # telemetry is enabled or disabled when MLflow is imported
    import mlflow  # noqa: F401  (must be imported before its submodules)
