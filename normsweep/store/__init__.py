"""Studies in Optuna's database: the only package but `search` that imports Optuna."""
