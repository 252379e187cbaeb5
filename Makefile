# make run    collect: a Prefect server, its UI, a worker, until Ctrl-C
# make demo   the same against an exchange stand-in: no internet
# make explore  a page that shows what is in the database: http://127.0.0.1:4220
# make alarms URL=…  alarms that call a webhook, on the server that runs
# make test   the whole suite;  make test-ui  what people see, in Chromium, with screenshots
# make bench  every benchmark, for some hours: benchmarks/RESULTS.md
# make check  ruff and mypy;  make fix  what ruff can mend
#
# Needs Python 3.11 or newer; PYTHON=/path/to/python3.12 picks one. Everything is installed into .venv, in the
# versions of constraints.txt.

.PHONY: run demo explore alarms test test-ui check fix bench
.SILENT:

NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for it in python3 python3.13 python3.12 python3.11; do $$it $(NEW_ENOUGH) && echo $$it && break; done)
PY := .venv/bin/python
SAY := exec >&2; echo

run: .venv/run.stamp
	exec $(PY) -m stack

demo: .venv/run.stamp
	exec $(PY) -m stack --demo

explore: .venv/run.stamp
	exec $(PY) -m klines.explorer $(if $(PORT),--port $(PORT))

alarms: .venv/run.stamp
	exec $(PY) -m stack.alarms "$(URL)"

test: .venv/dev.stamp
	$(PY) -m pytest -n 3 --dist loadgroup --no-loadscope-reorder

test-ui: .venv/dev.stamp
	$(PY) -m pytest -rs tests/test_ui.py

check: .venv/dev.stamp
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

bench: .venv/dev.stamp
	$(PY) -m benchmarks

fix: .venv/dev.stamp
	$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

# pip reads no dependencies from pyproject.toml without building the project, hence the line of Python.
.venv/%.stamp: pyproject.toml constraints.txt | .venv/bin/pip
	echo "installing the packages for make $* into .venv (a minute or two, once)"
	$(PY) -c 'import tomllib; it = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*it["dependencies"], *("$*" == "dev") * it["optional-dependencies"]["dev"], sep="\n")' > .venv/$*.txt
	$(PY) -m pip install -q --disable-pip-version-check --retries 2 -r .venv/$*.txt -c constraints.txt \
	  > .venv/pip.log 2>&1 || { $(SAY) "pip could not install the packages: is there a network?" \
	  "It said: $$(grep -i error .venv/pip.log | tail -n 1) (all of it: .venv/pip.log)"; exit 1; }
	touch $@

.venv/bin/pip:
	test -w . || { $(SAY) "this folder is read-only: clone klines into one you can write"; exit 1; }
	$(or $(PYTHON),false) $(NEW_ENOUGH) || { $(SAY) "klines needs Python 3.11 or newer$(if $(PYTHON), and" \
	  "$(PYTHON) is not,: none was found). Install one, or name one: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(SAY) "$(PYTHON) lacks venv: on Debian and Ubuntu," \
	  "apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
