# Two commands set everything up on a fresh machine: `make start` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(shell find protos -name '*.proto')

.PHONY: install start test explore fuzz faults compose clients check docs bench hostile lock clean

install: $(VENV)/.installed tenantry/_proto/.generated

# The stamp is newer than the lock file exactly when the environment holds what the lock file says.
$(VENV)/.installed: pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

tenantry/_proto/.generated: $(PROTOS) $(VENV)/.installed
	@mkdir -p tenantry/_proto
	$(BIN)/python -m tools.protos
	@touch $@

start: install
	$(BIN)/tenantry start $(ARGS)

# Most tests run servers beside themselves: more workers than processors make these wait for each other, and leases end.
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
test: install
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --ignore-glob='tests/deploy/test_stack*.py' --ignore=tests/clients $(ARGS)

# Property-based tests with other examples each time; what fails is kept in tests/cases/explored.
SECONDS ?= 300
explore: install
	$(BIN)/python -m tools.explore --seconds $(SECONDS) --workers $(WORKERS) $(ARGS)

# Coverage-guided fuzzing, in an environment of its own: what only this needs is not in the lock file. It sees the packages of .venv.
FUZZ := .venv-fuzz
fuzz: install $(FUZZ)/.installed
	$(FUZZ)/bin/python -m tests.fuzz.rounds --seconds $(SECONDS) --workers $(WORKERS) $(ARGS)

$(FUZZ)/.installed: tests/fuzz/requirements.txt
	$(BIN)/python -m venv $(FUZZ)
	$(FUZZ)/bin/pip install --quiet --require-hashes --requirement tests/fuzz/requirements.txt
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(FUZZ)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tenantry.pth"
	@touch $@

# Rounds of breaking a platform of real processes under load. A seed and a number repeat a round.
ROUNDS ?= 50
SEED ?= tenantry
faults: install
	$(BIN)/python -m tests.faults.rounds --rounds $(ROUNDS) --seed $(SEED) $(ARGS)

# docker-compose.yml on this machine's Docker engine, from the image's build on.
compose: install
	TENANTRY_REQUIRE_CLIENTS=1 $(BIN)/python -m pytest tests/deploy/test_stack*.py $(ARGS)

# Real clients: kubectl 1.27 to 1.37, helm 3 and 4, programs with client-go and controller-runtime, the definitions and sample
# objects of 26 projects, and Kubernetes' own end-to-end specs. Go builds and fetches them the first time, which takes an hour.
clients: install
	$(BIN)/python -m tools.go_programs
	PATH="$$($(BIN)/python -m tools.go_programs):$$PATH" TENANTRY_REQUIRE_CLIENTS=1 $(BIN)/python -m pytest \
	  --numprocesses $(WORKERS) --form one-process --every-minor tests/clients tests/e2e/test_kubectl.py tests/e2e/test_syncer_kubectl.py \
	  tests/e2e/test_go_clientsets.py tests/e2e/test_go_informers.py tests/e2e/test_controller_runtime.py $(ARGS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install
	$(BIN)/python -m tools.settings_page

bench: install
	$(BIN)/python -m benchmarks $(ARGS)

# One tenant that means harm against every server, beside kube-apiserver, which is built the first time.
hostile: install
	$(BIN)/python -m benchmarks.hostile $(ARGS)

# Pinned versions with hashes: of all that the product and its tests need, and in the same versions what an image runs and what
# builds it.
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/pip install --quiet uv
	$(COMPILE) --extra dev --group build --output-file requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --output-file requirements-runtime.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --group build --output-file requirements-build.lock

clean:
	rm -rf $(VENV) $(FUZZ) .fuzz tenantry/_proto build dist
