# From nothing to the report: `make repro`. `make` alone lists the targets.
.ONESHELL:
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help
.PHONY: help install install-test repro study bench test lint demo real real-study folders clean

# An active environment is used by `make install`, and by the other targets once `make install` ran in it; else .venv.
ACTIVE := $(or $(VIRTUAL_ENV),$(if $(filter-out base,$(CONDA_DEFAULT_ENV)),$(CONDA_PREFIX)))
JOINED := $(if $(ACTIVE),$(if $(filter install,$(MAKECMDGOALS)),yes,$(shell test -f "$(ACTIVE)/.xkd" && echo yes)))
ENV := $(if $(JOINED),$(ACTIVE),$(CURDIR)/.venv)
# The interpreter that .venv is made with.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BASE := $(if $(JOINED),$(ACTIVE)/bin/python,$(PYTHON))
BIN := $(ENV)/bin
PIP := "$(BIN)/python" -m pip install -qq --no-input --disable-pip-version-check
# Both are kept in the environment, so that an unchanged one is left alone.
STAMP = $(shell cat requirements.txt pyproject.toml | cksum | cut -d' ' -f1) $(CURDIR)
STAMP_TEST = $(shell cksum < requirements-test.txt | cut -d' ' -f1)
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
# Memory in large pages, and none given back between steps (glibc; others do not read it): training is some per cent faster, to the same bits.
repro demo real real-study study: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=67108864

# An option where a variable is set, but to 0 or no.
said = $(if $(filter-out 0 no,$(1)),$(2))

define STOP
stop() { printf 'xkd: %s\n' "$$*" >&2; exit 1; }
endef

help:
	@echo 'make install   packages into the active environment, or into .venv'
	echo 'make repro     install, make the data, run what is not done yet, show the results'
	echo 'make demo      the same stages on tiny data, in out/demo (some minutes)'
	echo 'make real DATA=folder FEATURES=folder [KIND=semantickitti] [SET="distill.steps=50 ..."]'
	echo '               the same stages on your data, in out/real; values in SET hold no blanks'
	echo 'make real-study DATA=... FEATURES=...   the same, and then every objective and baseline on these data'
	echo 'make bench     every step against a named peer and what the machine can do (QUICK=1: tiny, only to see that it runs)'
	echo 'make study     every objective and baseline, many hours; goes on where it was (FULL=1: the main rows with all steps, and more of the ablation)'
	echo 'make install-test   what the tests need besides'
	echo 'make test      install, linter, tests, every notebook'
	echo 'make lint      linter only'
	echo 'make clean     removes results and their cache; data/ and .venv stay'

install:
	@$(STOP)
	test "$$(cat "$(ENV)/.xkd" 2>/dev/null)" != "$(STAMP)" && ready= || ready=yes
	owner=$$(cut -d' ' -f2- "$(ENV)/.xkd" 2>/dev/null) || owner=
	test -z "$(JOINED)" || test -n "$(filter install,$(MAKECMDGOALS))" || test "$$owner" = "$(CURDIR)" || ! test -d "$$owner/xkd" \
		|| stop "the active environment $(ENV) has xkd of $$owner: deactivate it, or make install gives it the one of this folder."
	# An interpreter that is named is looked at also where nothing is left to install.
	test -z "$$ready" || test "$(origin PYTHON)" = 'command line' || exit 0
	hint='install it, or name one: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.11'
	test -n "$(BASE)" || stop "Python 3.11 is needed and no python3.11 was found: $$hint"
	command -v "$(BASE)" > /dev/null || stop "Python 3.11 is needed and $(BASE) is not there: $$hint"
	version=$$("$(BASE)" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || stop "$(BASE) does not run: $$hint"
	test -n "$$version" || stop "$(BASE) is no Python: $$hint"
	test "$$version" = 3.11 || stop "Python 3.11 is needed (spconv has no CPU build for another) and $(BASE) is $$version: $$hint"
	"$(BASE)" -c 'import ensurepip, venv' 2>/dev/null || stop "$(BASE) cannot make environments: install its venv module (python3.11-venv)."
	"$(BASE)" -c 'import os, sysconfig; raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
		|| stop "$(BASE) has no C headers, which torch-scatter is built with: install them (python3.11-dev)."
	command -v c++ > /dev/null || command -v g++ > /dev/null || stop "A C++ compiler is needed to build torch-scatter and no c++ or g++ was found: install one (g++)."
	command -v git > /dev/null || stop "git is needed and was not found: install it (git)."
	test -z "$$ready" || exit 0
	echo 'xkd: installing into $(ENV): a download of 0.5 to 4 GB, and 3 to 6 minutes of compiling, once.'
	test -n "$(JOINED)" || "$(BIN)/python" -m pip --version > /dev/null 2>&1 || "$(BASE)" -m venv "$(ENV)"
	$(PIP) 'setuptools>=77' wheel ninja "$$(grep '^torch==' requirements.txt)"
	echo 'xkd: torch is there; building torch-scatter.'
	# Sums and means, all that xkd uses of it, are torch's own and run on any device: no CUDA compiler has to match.
	FORCE_ONLY_CPU=1 CXX=$${CXX:-$$(command -v c++ || command -v g++)} $(PIP) --no-build-isolation "$$(grep '^torch-scatter==' requirements.txt)"
	# pip may have kept one that was built against another torch.
	"$(BIN)/python" -c 'import torch_scatter' 2>/dev/null || FORCE_ONLY_CPU=1 $(PIP) --no-build-isolation --no-deps --no-cache-dir \
		--force-reinstall "$$(grep '^torch-scatter==' requirements.txt)"
	echo 'xkd: the other packages.'
	$(PIP) --requirement requirements.txt
	$(PIP) --no-build-isolation --no-deps --editable .
	echo "$(STAMP)" > "$(ENV)/.xkd"
	test -n "$(JOINED)" || echo 'xkd: installed; for commands other than make: source "$(ENV)/bin/activate"'

install-test: install
	@test "$$(cat "$(ENV)/.xkd-test" 2>/dev/null)" != "$(STAMP_TEST)" || exit 0
	$(PIP) --requirement requirements-test.txt
	$(PIP) --no-deps nuscenes-devkit==1.2.0
	echo "$(STAMP_TEST)" > "$(ENV)/.xkd-test"

repro: install
	@python -m xkd.estimate
	python -m xkd.sim data
	dvc status --quiet data.dvc || echo 'xkd: data/ is not what data.dvc says: the results will be of this data, and git will show data.dvc as changed.'
	dvc repro
	echo
	cat out/report/table.md
	echo
	echo 'xkd: the report is out/report/report.html'

# Every row; then the report, of what is there where one failed.
define STUDY
dvc repro --keep-going $$(python -m xkd.study_plan --stages $(call said,$(FULL),--full)) && failed= || failed=yes
dvc repro --single-item study/dvc.yaml:report
test -z "$$failed"
endef

study: install
	@python -m xkd.study_plan $(call said,$(FULL),--full)
	test -f data/xkd-sim.json || python -m xkd.sim data
	$(STUDY)
	echo 'xkd: the report is out/notebooks/06_study.ipynb'

bench: install-test
	@test -f data/xkd-sim.json || test -d ../shared/data || python -m xkd.sim data
	python benchmarks/run.py $(call said,$(QUICK),--quick) $(PARTS)

demo: install
	@python -m xkd.profiles demo out/demo
	cd out/demo
	python -m xkd.estimate
	python -m xkd.sim data --profile smoke
	dvc repro
	cat out/report/table.md
	echo 'xkd: the report is out/demo/out/report/report.html (a demonstration: tiny data, one seed, numbers without meaning)'

KIND ?= semantickitti
real: folders install
	@data=$$(cd "$(DATA)" && pwd)
	features=$$(cd "$(FEATURES)" && pwd)
	python -m xkd.profiles real out/real --set data.kind=$(KIND) --set data.root="$$data" \
		--set teacher.source="$$features" $(foreach change,$(SET),--set '$(change)')
	cd out/real
	python -m xkd.estimate
	dvc repro
	cat out/report/table.md
	echo 'xkd: the report is out/real/out/report/report.html'

real-study: real
	@cd out/real
	python -m xkd.study_plan
	$(STUDY)
	echo 'xkd: the report is out/real/out/notebooks/06_study.ipynb'

folders:
	@$(STOP)
	test -d "$(DATA)" || stop 'DATA="$(DATA)" is no folder; say where the data are: make real DATA=folder FEATURES=folder'
	test -d "$(FEATURES)" || stop 'FEATURES="$(FEATURES)" is no folder; say where the images'"'"' features are: make real DATA=folder FEATURES=folder'
	test -n "$$(find -L "$(FEATURES)" -name '*.npy' -print -quit)" || stop 'FEATURES="$(FEATURES)" holds no .npy file'

test: install-test
	@ruff check --output-format concise .
	echo 'xkd: tests and notebooks'
	python -m xkd.estimate 650
	python -m pytest -n logical --maxprocesses 4 --no-loadscope-reorder --nbval-lax --nbval-current-env tests notebooks

lint: install-test
	@ruff check --output-format concise .

clean:
	@test ! -d out || find out -mindepth 1 -maxdepth 1 ! -name metrics -exec rm -rf {} +
	rm -rf .dvc/cache .dvc/tmp
