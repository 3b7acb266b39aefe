# Set-up, training and tests, in a virtual environment of the project's own.
#
#   make train                      the debug config on cartpole_balance
#   make train CONFIG=newhp PARAMS='{tasks: [cheetah_run]}' LOGDIR=~/runs/cheetah
#   make test

PYTHON = python3
CONFIG = debug
PARAMS = {tasks: [cartpole_balance]}
LOGDIR = logdir/$(CONFIG)
# Processes that share the tests, a module at a time; each takes more than 1 GB.
WORKERS = 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
export CONFIG PARAMS LOGDIR  # Recipes read them as they are, quotes and all.

VENV := .venv
BIN := $(VENV)/bin
GL_PACKAGES := libegl1 libgl1 libopengl0 libegl-mesa0 libgl1-mesa-dri
install_gl = $(1) apt-get update && $(1) apt-get install --yes $(GL_PACKAGES)

.PHONY: venv train test test-all lint format benchmark clean

venv: $(VENV)/.opengl

$(VENV)/.installed: setup.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --upgrade 'pip>=24'  # Older ones search forever.
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[test]'
	@touch $@

# Whether frames can be rendered without a screen.
$(VENV)/.opengl: $(VENV)/.installed
	@$(BIN)/python -m planet.control.opengl || \
	if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
		echo 'Installing headless OpenGL.' && $(call install_gl) && \
		$(BIN)/python -m planet.control.opengl; \
	else \
		echo 'Headless OpenGL does not work. On Debian, this installs it:' >&2; \
		echo '  $(strip $(call install_gl,sudo))' >&2; \
		exit 1; \
	fi
	@touch $@

train: venv
	$(BIN)/python -m planet.scripts.train \
		--logdir "$$LOGDIR" --config "$$CONFIG" --params "$$PARAMS"

test: lint
	$(PYTEST) -m 'not slow'

test-all: lint
	$(PYTEST)

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

benchmark: venv
	$(BIN)/python -m benchmarks.speed

# Runs in logdir stay.
clean:
	rm -rf $(VENV) build *.egg-info .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
