# One image for every service except PostgreSQL: processes that communicate through Ray or MLflow need the
# same versions.
FROM python:3.11.14-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

# server, or server-cuda for workers with NVIDIA GPUs: the same versions plus CUDA.
ARG REQUIREMENTS=server
COPY requirements/${REQUIREMENTS}.txt requirements/
RUN pip install --require-hashes -r requirements/${REQUIREMENTS}.txt

# A new named volume gets the owner of the folder it is mounted on.
RUN useradd --uid 10001 --user-group --create-home normsweep \
 && install --directory --owner=normsweep --group=normsweep /artifacts /study /study/mlruns

# The sources are not kept; a change to them rebuilds only this layer.
RUN --mount=type=bind,target=/source \
    pip install --no-deps --no-build-isolation /source

WORKDIR /study
USER 10001:10001
CMD ["python", "-m", "normsweep.study"]
