# make demo | test | check | nightly | bench | docs: each creates .venv first if needed.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SYSTEMS := linux darwin win32
SPROUT := upbring/builtin/sprout
# an empty folder in which the recipes' relative paths are resolved
MAKING := build/sprout

.PHONY: demo test check types $(SYSTEMS:%=types-%) types-next nightly bench docs sprout

demo: $(STAMP)
	$(BIN)/upbring demo

test: check
	$(BIN)/pytest -n $(WORKERS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) -j $(WORKERS) --output-sync types
	$(BIN)/pytest tests/test_architecture.py

# Types are checked for each system, and for a later Python; each check has a cache of its own.
types: $(SYSTEMS:%=types-%) types-next

$(SYSTEMS:%=types-%): types-%: $(STAMP)
	$(BIN)/mypy --platform $* --cache-dir .mypy_cache/$*

types-next: $(STAMP)
	$(BIN)/mypy --python-version 3.14 --cache-dir .mypy_cache/next

nightly: $(STAMP)
	UPBRING_NIGHTLY=1 $(BIN)/pytest -n $(WORKERS)

bench: $(STAMP)
	$(BIN)/python bench/sft.py

docs: $(STAMP)
	$(BIN)/python -c "from pathlib import Path; from upbring.cli.reference_pages import write_pages; \
	write_pages(Path()); from upbring.api.stub import write_stub; write_stub(Path()); \
	from upbring.api.reference_page import write_api_page; write_api_page(Path())"
	$(BIN)/python bench/results.py

# trains the built-in model from random weights, stage by stage (recipes/sprout*.yaml)
sprout: $(STAMP)
	rm -rf $(MAKING)
	mkdir -p $(MAKING)
	cd $(MAKING) && $(abspath $(BIN))/upbring toyworld export world --characters 34000000
	for course in sprout sprout-papers sprout-examinations; do (cd $(MAKING) && \
	  $(abspath $(BIN))/upbring pretrain --settings $(CURDIR)/recipes/$$course.yaml) || exit; done
	for file in config.json model.safetensors tokenizer.json tokenizer_config.json \
	  generation_config.json contract.json manifest.json; do cp $(MAKING)/runs/sprout/model/$$file $(SPROUT)/ || exit; done
	@$(PYTHON) -c "from hashlib import sha256; from pathlib import Path; \
	found = sha256(Path('$(SPROUT)/model.safetensors').read_bytes()).hexdigest(); \
	same = found in Path('$(SPROUT)/README.md').read_text(encoding='utf-8'); \
	print('sha256', found, 'as the card says' if same else '- the card has the hash of another machine or version')"

# torch first and alone, so that a local CPU wheel is used and kept
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)
