# The commands of README.md and CONTRIBUTING.md. Set-up happens by itself, and again only when its files change.

PYTHON ?= python3
VENV ?= .venv
# The domain to serve; without one, what xmppd.toml says, or else localhost.
DOMAIN ?=
TESTS ?= tests
# What to fuzz (xml, sasl, jid or pages), and for how long.
TARGET ?= xml
SECONDS ?= 600
SECONDS_OF_COUNTING ?= 3600
STEPS_OF_MODEL ?= 1000000
KILLS ?= 200
SECONDS_OF_SOAK ?= 3600
# What to measure (without, all), and more arguments for it: make compare ONLY="chat,login" ARGS="--write"
ONLY ?=
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517
INTEROP := tests/interop

.PHONY: run test lint format bench compare growth docs counting model kills soak playground fuzz strangers clean
.DELETE_ON_ERROR:

run: $(VENV)/made-run
	@exec $(BIN)/xmppd $(if $(DOMAIN),--domain '$(DOMAIN)')

test: $(VENV)/made-test $(VENV)/made-postgresql $(INTEROP)/node_modules/made
	@$(BIN)/python tests/run.py $(TESTS)

lint: lint-rules lint-format lint-types

lint-rules: $(VENV)/made-test
	$(BIN)/ruff check .

lint-format: $(VENV)/made-test
	$(BIN)/ruff format --check .

lint-types: $(VENV)/made-test
	$(BIN)/mypy

format: $(VENV)/made-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/made-bench
	@$(BIN)/python -m bench $(if $(ONLY),--only '$(ONLY)') $(ARGS)

compare: $(VENV)/made-bench
	@$(BIN)/python -m bench.compare $(if $(ONLY),--only '$(ONLY)') $(ARGS)

# Whether costs grow with users, contacts, archives and time, as a table and as bench/growth.svg (90 minutes).
growth: $(VENV)/made-bench
	@$(BIN)/python -m bench.growth $(if $(ONLY),--only '$(ONLY)') $(ARGS)

# What is generated: the list of specifications and the sample configuration.
docs: $(VENV)/made-run
	$(BIN)/python -m xmppd.xeps > docs/xeps.md
	$(BIN)/xmppctl sample > xmppd/xmppd.toml

# The counters of stream management against the wire, for an hour (tests/stream/test_counting.py).
counting: $(VENV)/made-test
	@$(BIN)/python -m tests.stream.counting --seconds $(SECONDS_OF_COUNTING) $(ARGS)

# The server and clients with several devices against a model of its promises (tests/model/promises.py).
model: $(VENV)/made-test
	@$(BIN)/python -m tests.model --steps $(STEPS_OF_MODEL) $(ARGS)

# The server killed under load; afterwards everything acknowledged is there (tests/endurance/kill.py).
kills: $(VENV)/made-test
	@$(BIN)/python -m tests.endurance.kill --kills $(KILLS) $(ARGS)

fuzz: $(VENV)/made-fuzz
	@$(BIN)/python -m fuzz $(TARGET) --seconds $(SECONDS)

# Let 20,000 strangers come and go, and look at the memory of the server.
strangers: $(VENV)/made-test
	@$(BIN)/python -m tests.hostile.memory --connections 20000

# Mixed load for an hour, with what /proc says about the server as a table and as a plot.
soak: $(VENV)/made-test
	@mkdir -p build
	@$(BIN)/python -m tests.endurance.soak --seconds $(SECONDS_OF_SOAK) $(ARGS) build/soak.csv
	@$(BIN)/python -m tests.endurance.plot build/soak.csv docs/soak.svg

playground: $(VENV)/made-run
	@echo "Connect to localhost, port 5222, as user0@localhost to user9@localhost with the password pw."
	@exec $(BIN)/python bench/serve.py --root data/playground --port 5222 --users 10

# Everything that can be made again; never data/ and certs/.
clean:
	rm -rf $(VENV) $(INTEROP)/node_modules build dist xmppd.egg-info _trial_temp* \
		.mypy_cache .ruff_cache .hypothesis twisted/plugins/dropin.cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'xmppd needs Python 3.11 or later; name it with: make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>&- || { \
		echo 'Python has no venv; install it with: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/made-run: setup.py pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/made-bench: bench/requirements.txt | $(VENV)/made-run
	$(PIP) --requirement $<
	@touch $@

$(VENV)/made-test: setup.py pyproject.toml tests/constraints.txt | $(BIN)/python
	$(PIP) --constraint tests/constraints.txt --editable '.[test]'
	@touch $@

# PostgreSQL's programs; installed by whoever may, or else named with the line that installs them.
$(VENV)/made-postgresql: tests/postgres.py | $(VENV)/made-test
	@DEBIAN_FRONTEND=noninteractive $(BIN)/python -c 'from tests.postgres import programs; programs()'
	@touch $@

$(VENV)/made-fuzz: $(VENV)/made-test
	$(PIP) --editable '.[fuzz]'
	@touch $@

$(INTEROP)/node_modules/made: $(INTEROP)/package.json $(INTEROP)/package-lock.json | $(VENV)/made-test
	$(BIN)/npm ci --prefix $(INTEROP) --ignore-scripts --loglevel=error
	@touch $@
