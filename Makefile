# make run    collect: a Prefect server, its UI, a worker, until Ctrl-C
# make demo   the same against an exchange stand-in: no internet
# make explore  a page that shows what is in the database: http://127.0.0.1:4220
# make alarms URL=…  alarms that call a webhook, on the server that runs
# make test   the whole suite;  make test-ui  what people see, in Chromium, with screenshots
# make test-fast  the pure ones and those with a file: no Prefect, no exchange, no lake, in less than a minute
# make bench  every benchmark, for half a day: benchmarks/RESULTS.md
# make check  ruff and mypy;  make fix  what ruff can mend
#
# Needs Python 3.11 to 3.14; PYTHON=/path/to/python3.12 picks one. This folder is installed into .venv as it is, so that
# an edit counts at once, and what it needs in the versions of constraints.txt.

.PHONY: run demo explore alarms test test-fast test-ui check fix bench
.SILENT:

SUPPORTED := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null
NAMES := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(shell for name in $(NAMES); do $$name $(SUPPORTED) && echo $$name && break; done)
PY := .venv/bin/python
# images of Docker set it, and then each of some hundred processes of the tests compiles all anew
COMPILED := PYTHONDONTWRITEBYTECODE=
SAY := exec >&2; echo

run: .venv/run.stamp
	exec .venv/bin/klines run

demo: .venv/run.stamp
	exec .venv/bin/klines demo

explore: .venv/run.stamp
	exec .venv/bin/klines explore $(if $(PORT),--port $(PORT))

alarms: .venv/run.stamp
	exec .venv/bin/klines alarms "$(URL)"

test: .venv/dev.stamp
	$(COMPILED) $(PY) -m pytest -n 4 --dist loadgroup --no-loadscope-reorder

test-fast: .venv/dev.stamp
	$(COMPILED) $(PY) -m pytest -n 3 --dist loadgroup --no-loadscope-reorder -m "not (stack or prefect or exchange or slow)"

test-ui: .venv/dev.stamp
	$(PY) -m pytest -rs tests/stack/test_ui.py

check: .venv/dev.stamp
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

bench: .venv/dev.stamp
	$(PY) -m benchmarks

fix: .venv/dev.stamp
	$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

EXTRAS_run := collect,explore
EXTRAS_dev := collect,explore,lake,dev

.venv/%.stamp: pyproject.toml constraints.txt | .venv/bin/pip
	$(PY) $(SUPPORTED) || { $(SAY) "the Python in .venv is none that klines supports (3.11 to 3.14), or has gone:" \
	  "remove the folder .venv, and run make again"; exit 1; }
	echo "installing the packages for make $* into .venv (a minute or two, once)"
	PIP_RETRIES=2 $(PY) -m pip install -q --disable-pip-version-check -e '.[$(EXTRAS_$*)]' -c constraints.txt \
	  > .venv/pip.log 2>&1 || { $(SAY) "pip could not install the packages: is there a network?" \
	  "It said: $$(grep -o 'ERROR: .*' .venv/pip.log | tail -n 1) (all of it: .venv/pip.log)"; exit 1; }
	$(PY) -m stack.template 2>> .venv/pip.log || true  # the first start of Prefect would take the time instead
	touch .venv/run.stamp $@

.venv/bin/pip:
	test -w . || { $(SAY) "this folder is read-only: clone klines into one you can write"; exit 1; }
	$(or $(PYTHON),false) $(SUPPORTED) || { $(SAY) "klines needs Python 3.11 to 3.14$(if $(PYTHON), and" \
	  "$(PYTHON) is not,: none was found). Install one, or name one: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(SAY) "$(PYTHON) lacks venv: on Debian and Ubuntu," \
	  "apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
