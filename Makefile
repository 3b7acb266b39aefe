# Set-up, training and tests, in a virtual environment of the project's own.
#
#   make train                      the debug config on cartpole_balance
#   make train CONFIG=newhp PARAMS='{tasks: [cheetah_run]}' LOGDIR=~/runs/cheetah
#   make demo                       evaluates the agent that comes with the project
#   make test

# The first of these that exists, and is neither too old nor too new, is used.
PYTHON ?= python3.13 python3.12 python3.11 python3.10 python3
CONFIG = debug
PARAMS = {tasks: [cartpole_balance]}
LOGDIR = logdir/$(CONFIG)
# Processes that share the tests, a module at a time; each takes more than 1 GB.
WORKERS = 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
export CONFIG PARAMS LOGDIR  # So that recipes read them verbatim, quotes and all.

VENV := .venv
BIN := $(VENV)/bin
GL_PACKAGES := libegl1 libgl1 libopengl0 libegl-mesa0 libgl1-mesa-dri
FITS := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))

# $(call ensure,COMMAND,PACKAGES,PROBLEM): If the command fails, root on Debian installs
# the packages and tries again; everyone else is told the problem and how to solve it.
define ensure
$(1) || \
if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
	echo "Installing $(2)." && apt-get update && \
	DEBIAN_FRONTEND=noninteractive apt-get install --yes $(2) && $(1); \
else \
	echo "$(strip $(3)) On Debian, this installs what is missing:" >&2; \
	echo "  sudo apt-get update && sudo apt-get install --yes $(2)" >&2; \
	exit 1; \
fi
endef

.PHONY: venv train demo test test-all test-scale lint format benchmark soak clean

venv: $(VENV)/.opengl

$(BIN)/python:
	@for python in $(PYTHON); do \
		"$$python" -c '$(FITS)' 2>/dev/null && break; python=; \
	done; \
	if test -z "$$python"; then \
		echo 'PlaNet needs Python 3.10, 3.11, 3.12 or 3.13 (TensorFlow has no wheel for' \
			'3.14), which none of these is: $(PYTHON). Name one with PYTHON=...' >&2; \
		exit 1; \
	fi; \
	version=$$("$$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	{ $(call ensure,"$$python" -m ensurepip --version >/dev/null 2>&1,$$version-venv,\
		$$python has no ensurepip to make an environment with.); } && \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: setup.py planet/control/envs/suite.py | $(BIN)/python
	$(BIN)/python -m pip install --upgrade 'pip>=24'  # Older ones backtrack forever.
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[test]'
# dm_control, which the package does not require on Python 3.13.
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps \
		"$$($(BIN)/python -c 'from planet.control.envs import suite; print(suite.REQUIREMENT)')"
	@touch $@

# Whether frames can be rendered without a screen.
$(VENV)/.opengl: $(VENV)/.installed
	@$(call ensure,$(BIN)/python -m planet.control.envs.opengl,$(GL_PACKAGES),\
		Headless OpenGL does not work.)
	@touch $@

train: venv
	$(BIN)/python -m planet.scripts.train \
		--logdir "$$LOGDIR" --config "$$CONFIG" --params "$$PARAMS"

demo: venv
	@mkdir -p logdir/demo
	$(BIN)/python -m planet.scripts.evaluate --logdir agents/cartpole_balance --episodes 1 \
		--video logdir/demo --output logdir/demo/evaluation.json --overwrite
	@echo 'The film is logdir/demo/cartpole_balance_001.gif.'

test: lint
	$(PYTEST) -m 'not slow and not scale'

test-all: lint
	$(PYTEST) -m 'not scale'

# What takes Ray, or several processes at once.
test-scale: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable \
		'.[test,ray,sweep]'
	$(PYTEST) -m scale --session-timeout 1200 tests/scale

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

format: venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

benchmark: venv
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.limits
	$(BIN)/python -m benchmarks.collecting
	$(BIN)/python -m benchmarks.models --updates 10
	$(BIN)/python -m benchmarks.sizes
	$(BIN)/python -m benchmarks.scaling

# What a run survives: hours of interrupts, kills, faults and damaged files.
soak: venv
	$(BIN)/python -m benchmarks.soak

# Keeps the runs in logdir.
clean:
	rm -rf $(VENV) build *.egg-info .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
