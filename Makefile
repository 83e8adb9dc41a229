# make demo | test | check | nightly | bench | docs: each prepares .venv first, when it must.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SPROUT := upbring/builtin/sprout

.PHONY: demo test check nightly bench docs sprout

demo: $(STAMP)
	$(BIN)/upbring demo

test: check
	$(BIN)/pytest -n $(WORKERS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_house.py

nightly: $(STAMP)
	UPBRING_NIGHTLY=1 $(BIN)/pytest -n $(WORKERS)

bench: $(STAMP)
	$(BIN)/python bench/sft.py

docs: $(STAMP)
	$(BIN)/python -c "from pathlib import Path; from upbring.settings.reference import reference; \
	Path('docs/settings.md').write_text(reference(), encoding='utf-8')"

# the embedded model, from nothing: recipes/sprout*.yaml say how, course by course
sprout: $(STAMP)
	$(BIN)/upbring nursery export world --characters 34000000
	$(BIN)/upbring pretrain --settings recipes/sprout.yaml
	$(BIN)/upbring pretrain --settings recipes/sprout-papers.yaml
	$(BIN)/upbring pretrain --settings recipes/sprout-examinations.yaml
	for file in config.json model.safetensors tokenizer.json tokenizer_config.json \
	  generation_config.json contract.json; do cp runs/sprout/model/$$file $(SPROUT)/; done

# torch first and by itself: a wheel for this machine, once there, is kept by all that follows
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)
