# One image for the study and for MLflow's server, so that both have the same MLflow.
FROM python:3.11.14-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

WORKDIR /build
COPY requirements/server.txt requirements/
RUN pip install --require-hashes -r requirements/server.txt

COPY pyproject.toml README.md LICENSE ./
COPY normsweep normsweep
COPY sweeps sweeps
RUN pip install --no-deps --no-build-isolation .

# A fresh named volume takes the owner of the folder that it is mounted on.
RUN useradd --uid 10001 --user-group --create-home normsweep \
 && install --directory --owner=normsweep --group=normsweep /artifacts /study /study/mlruns
WORKDIR /study
USER 10001:10001
CMD ["python", "-m", "normsweep.study"]
