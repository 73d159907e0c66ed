# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# `make` lists the targets. Variables: PYTHON=python3.12, ROS_WHEELS=kilted, VIDEO=file, CHECKPOINT=file, ARGS="-k node".

RUN := scripts/run.sh
export PYTHON ROS_WHEELS VIDEO CHECKPOINT

help:
	@echo "make setup      install everything into .venv (about 3 minutes, 6 GB) and build the messages into install/"
	@echo "make demo       run the node on a synthetic drive; VIDEO=FILE uses a video or a folder of images"
	@echo "make test       check style and types and run all tests on all cores; ARGS=... is passed to pytest"
	@echo "make test-isa   run the numerical tests under every instruction set of this processor (about an hour)"
	@echo "make attack     try hostile inputs, faults and signals for one to two hours; see test/attack/README.md"
	@echo "make bench      measure network, node, start and data (some minutes); ARGS=--full measures everything"
	@echo "make lint       check style and types"
	@echo "make format     format the code and apply automatic fixes"
	@echo "make lock       resolve requirements/*.txt into requirements/*.lock; ARGS=--upgrade takes newer versions"
	@echo "make audit      compare the locked versions with the known vulnerabilities (needs the network)"
	@echo "make docs       write docs/parameters.md, docs/licenses.md and config/panoptic_node.yaml"
	@echo "make clean      remove build results; make distclean removes .venv too"
	@echo "Shell with everything: . .venv/bin/activate && . install/setup.bash"

setup:
	@scripts/setup.sh

demo: setup
	@$(RUN) opendr-panoptic demo $${VIDEO:+"$$VIDEO"} $${CHECKPOINT:+--checkpoint "$$CHECKPOINT"}

lint: setup
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

test: lint
	@$(RUN) python -m pytest -n logical --maxprocesses 4 --dist worksteal --strict-skips $(ARGS)

test-isa: setup
	@$(RUN) scripts/test_isa.sh $(ARGS)

attack: setup
	@$(RUN) python test/attack/run.py $(ARGS)

bench: setup
	@$(RUN) python benchmarks/all.py --out build/benchmarks/results $(ARGS)

format: setup
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

lock: setup
	@$(RUN) scripts/lock.sh $(ARGS)

audit: setup
	@$(RUN) pip-audit --strict --disable-pip --require-hashes --requirement requirements/jazzy.lock

docs: setup
	@$(RUN) python docs/make_parameters.py
	@$(RUN) python docs/make_licenses.py

clean:
	rm -rf build install log *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find opendr_panoptic_ros test launch -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv

.PHONY: help setup demo lint test test-isa attack bench format lock audit docs clean distclean
