-- Run once by docker-compose.yml's PostgreSQL, when its volume is new.
-- Two, since Optuna and MLflow both keep a table `alembic_version`.
CREATE DATABASE optuna;
CREATE DATABASE mlflow;
