# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# `make` shows what there is. Variables: PYTHON=python3.12, ROS_WHEELS=jazzy, VIDEO=file, CHECKPOINT=file, ARGS="-k node".

RUN := scripts/run.sh
export PYTHON ROS_WHEELS VIDEO CHECKPOINT

help:
	@echo "make setup      .venv with everything (about 3 minutes, 6 GB), messages built into install/"
	@echo "make demo       the node on a synthetic drive; VIDEO=file takes a video or a folder of images"
	@echo "make test       style, types and all tests; ARGS=... goes to pytest"
	@echo "make lint       style and types alone"
	@echo "make format     put the style right"
	@echo "make clean      remove what was built; make distclean removes .venv too"
	@echo "A shell with everything: . .venv/bin/activate && . install/setup.bash"

setup:
	@scripts/setup.sh

demo: setup
	@$(RUN) opendr-panoptic demo $${VIDEO:+"$$VIDEO"} $${CHECKPOINT:+--checkpoint "$$CHECKPOINT"}

lint: setup
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

test: lint
	@$(RUN) python -m pytest --strict-skips $(ARGS)

format: setup
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

clean:
	rm -rf build install log *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find opendr_panoptic_ros test launch -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv

.PHONY: help setup demo lint test format clean distclean
