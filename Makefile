# `make study` runs the quickstart study, `make test` the tests; both create the environment they need.
# `make server` starts docker-compose.yml's services, `make docs` builds the documentation.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(VENV)/uv/bin/uv
COMPOSE ?= docker compose

# Where the benchmarks write their results.
BENCH := build/benchmarks
WHEELS := build/gpu-wheels

.PHONY: study server test check format docs lock bench soak containers-check gpu-check gpu-wheels gpu-carried clean

study: $(VENV)/study.done
	$(BIN)/python -m normsweep.study

server: .env
	$(COMPOSE) up --build --detach

# The secrets are drawn once.
.env: | .env.example
	umask 077 && $(PYTHON) -c 'import re, secrets; draw = lambda line: line[0] + secrets.token_hex(32); \
	  print(re.sub(r"(?m)^(POSTGRES_PASSWORD|RAY_AUTH_TOKEN)=$$", draw, open("$|").read()), end="")' > $@.new
	mv $@.new $@

# The tests start dozens of interpreters: let them share compiled bytecode.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/dev.done $(VENV)/chromium.done
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev.done
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --clean
	@echo build/site/index.html

bench: $(VENV)/dev.done
	$(BIN)/python -m benchmarks.trial_overhead
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.driver_cost
	for name in step overhead latency quickstart verdict scale; do \
	  $(BIN)/python -m benchmarks.$$name -o $(BENCH) || exit; done
	$(BIN)/python -m benchmarks.summary $(BENCH) -o $(BENCH)/performance.svg

# Long tests. What they put studies through is counted, and written into docs/reliability.md.
# The tables for articles are compiled wherever LaTeX is installed; here it is installed.
SOAK := build/soak

soak: $(VENV)/dev.done $(VENV)/latex.done
	$(BIN)/python -m pytest -m "slow or faults" --junitxml $(SOAK)/slow.xml
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile many --junitxml $(SOAK)/hypothesis.xml
	$(BIN)/python -m pytest -n0 tests/reporting/test_article_tables.py
	$(BIN)/python -m tests.reliability faults '`make soak`' $(SOAK)/slow.xml $(SOAK)/hypothesis.xml

# The compose file in a container engine; COMPOSE="…" names Compose's program.
containers-check: $(VENV)/dev.done $(VENV)/chromium.done
	$(BIN)/python -m pytest -n0 -rs -m containers tests/compose/test_containers.py

gpu-check: $(VENV)/dev.done
	KERAS_BACKEND=$${KERAS_BACKEND:-jax} $(BIN)/python -m benchmarks.gpu_check

# The same on a machine that has JAX with CUDA but no network: `gpu-wheels` collects here what else the check imports, in
# a folder that travels with the tree, and `gpu-carried` runs it there.
gpu-wheels: $(VENV)/dev.done
	rm -rf $(WHEELS) && mkdir -p $(WHEELS)
	$(BIN)/python -m benchmarks.gpu_check --wheels > $(WHEELS)/requirements.txt
	$(BIN)/python -m pip download --quiet --no-deps --dest $(WHEELS) -r $(WHEELS)/requirements.txt
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(WHEELS) .
	du -sh $(WHEELS)

gpu-carried:
	$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target build/gpu $(WHEELS)/*.whl
	KERAS_BACKEND=jax PYTHONPATH=$(CURDIR)/build/gpu $(PYTHON) -m benchmarks.gpu_check $(CHECK)

# Packages are installed by hash. uv takes a tenth of pip's time; if its index is unreachable, pip
# (which reads the user's own pip settings) installs the same files.
$(VENV)/study.done: requirements/study.txt pyproject.toml | $(UV)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r $< \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.done: requirements/dev.txt $(VENV)/study.done
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r $< \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r $<
	touch $@

# The tests open the report in a browser. On Debian, one is installed if none is found.
$(VENV)/chromium.done: | $(UV)
	command -v chromium || command -v chromium-browser || command -v google-chrome \
	  || { command -v apt-get && apt-get update && apt-get install -y --no-install-recommends chromium; } \
	  || { echo "make test opens the report in a browser: install chromium or google-chrome" >&2; exit 1; }
	touch $@

# On Debian, LaTeX is installed if it is not there.
$(VENV)/latex.done: | $(VENV)/chromium.done
	command -v pdflatex || if command -v apt-get; \
	  then apt-get update && apt-get install -y --no-install-recommends texlive-latex-base texlive-latex-recommended; \
	  else echo "LaTeX tables are not compiled: pdflatex is not installed" >&2; fi
	touch $@

$(UV): requirements/uv.txt
	$(PYTHON) -m venv $(VENV)
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install --quiet --require-hashes -r $<

# Versions and hashes, but no index address.
lock: | $(UV)
	$(UV) pip compile $(LOCK_FLAGS) pyproject.toml requirements/build.in -o requirements/study.txt
	$(UV) pip compile $(LOCK_FLAGS) pyproject.toml requirements/build.in --group dev -c requirements/study.txt -o requirements/dev.txt
	$(UV) pip compile $(LOCK_FLAGS) pyproject.toml requirements/build.in --extra postgres --extra ray --extra dashboard -c requirements/dev.txt -o requirements/server.txt
	$(UV) pip compile $(LOCK_FLAGS) pyproject.toml requirements/build.in --extra postgres --extra ray --extra dashboard --extra cuda -c requirements/server.txt -o requirements/server-cuda.txt
	echo uv | $(UV) pip compile $(LOCK_FLAGS) - -o requirements/uv.txt

LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-header --no-annotate --custom-compile-command "make lock"

clean:
	rm -rf $(VENV) dist build
