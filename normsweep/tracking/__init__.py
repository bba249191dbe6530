"""Studies in MLflow: the only package that imports it.

Whichever of its modules is imported first finds MLflow's environment set.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# What failed is logged later, so no request is repeated here: one that a server had taken, and
# was too slow to answer, would make a second run that nobody ends.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow  # noqa: F401  (before its submodules, as it wants to be)
