# The front door. Needs Python 3.11 and make; everything else is installed into .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PADDLE := .venv-paddle
SHOPVL_DATA ?= ../shared/data
export HF_HUB_OFFLINE = 1
export TRANSFORMERS_OFFLINE = 1
export GRADIO_ANALYTICS_ENABLED = False
export MLFLOW_DISABLE_TELEMETRY = true
export SHOPVL_DATA

.PHONY: install install-paddle demo test test-zoo test-real model model-rehearsal bench bench-search bench-tag lint audit sbom schemas recipes clean docs figures

install: $(VENV)/installed

# without the extra `fast`: 65 MB to download and 220 MB on disk, which pay on catalogs of thousands of products.
# torch comes first and pinned, or another package may bring a newer build of several GB
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch torchvision
	$(BIN)/pip install -q -c constraints.txt -e '.[app,server,mcp,track,ocr,dev,milvus,ray]'
	touch $@

# PaddleOCR wants an older numpy and a second OpenCV: an environment of its own, with models out of the rapidocr wheel
install-paddle: $(PADDLE)/installed

$(PADDLE)/installed: requirements-paddle.txt | install
	$(PYTHON) -m venv $(PADDLE)
	$(PADDLE)/bin/pip install -q -r requirements-paddle.txt
	$(BIN)/python -m shopvl.vision.paddle_models $(PADDLE)/models
	touch $@

demo: install
	$(BIN)/shopvl demo --out demo

test: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# every objective of every recipe learns by heart, and what a recipe says it can do it does
test-zoo: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m zoo

test-real: install
	$(BIN)/pytest -m realdata

# the bundled model, from the data up (experiments/shipped): about seven hours on two cores; goes on where it was
model: install
	$(BIN)/pip install -q -c constraints.txt -e '.[model]'
	$(BIN)/python experiments/shipped/build.py --run runs/model --box shopvl/shipped

# every stage of it with 1% of the data, in nine minutes of one thread, into a box of its own: says whether all still run. A run that was
# stopped goes on; after one that was finished, all is made anew
model-rehearsal: install
	$(BIN)/pip install -q -c constraints.txt -e '.[model]'
	if [ -e runs/rehearsal/box/config.json ]; then rm -rf runs/rehearsal; fi
	OMP_NUM_THREADS=1 $(BIN)/python experiments/shipped/build.py --run runs/rehearsal --box runs/rehearsal/box --share 0.01

# quality and speed against peers, in one run; writes experiments/results/
bench: install
	$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python experiments/bench/tfidf_baseline.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --out experiments/results/tfidf_baseline.json
	$(BIN)/python experiments/bench/race.py --data $(SHOPVL_DATA)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# known weaknesses of the pinned dependencies; asks the registry about each, so it stands beside lint, which needs no network
audit: install
	$(BIN)/pip install -q pip-audit
	$(BIN)/pip-audit -r constraints.txt --no-deps --disable-pip --progress-spinner off

# the list of the pinned dependencies that travels in the wheel (SBOM, CycloneDX), after constraints.txt has changed
sbom: install
	$(BIN)/python tests/write_sbom.py

# the site, out of README, docs/ and docstrings: docs/_build/index.html opens without network
docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

# figures of README, docs and leaderboard, from experiments/results/; a test says when this is due
figures: install
	$(BIN)/python docs/figures.py

clean:
	rm -rf $(VENV) demo runs build dist docs/_build

# search: quality on the test split, and cost at scale; MODEL is a tuned model folder
bench-search: install
	$(BIN)/pip install -q -c constraints.txt -e '.[milvus]'
	$(BIN)/python experiments/bench/search_quality.py --data $(SHOPVL_DATA) --model $(MODEL) --work runs/search --out experiments/results/search_quality.json
	$(BIN)/python experiments/bench/search_scale.py change --index runs/search/index-test-tags-test --count 100000 --work runs/scale --out experiments/results/search_scale.json
	$(BIN)/python experiments/bench/search_scale.py kinds --index runs/search/index-test-tags-test --count 1000000 --work runs/scale --out experiments/results/search_scale.json
	$(BIN)/python experiments/bench/search_scale.py milvus --index runs/search/index-test-tags-test --count 100000 --work runs/scale --out experiments/results/search_scale.json

# the two JSON Schemas that are made from the code; a test says when this is due
schemas: install
	$(BIN)/python tests/write_schemas.py

# docs/recipes.md, from the recipes; a test says when this is due
recipes: install
	$(BIN)/python tests/write_recipes.py

# tagging: races against peers, a long catalog, a second run; MODEL is a tuned model folder
bench-tag: install
	$(BIN)/pip install -q -c constraints.txt -e '.[bench,fast]'
	$(BIN)/python experiments/bench/tag_race.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --out experiments/results/tag_race.json
	$(BIN)/python experiments/bench/cost_by_vocabulary.py --out experiments/results/cost_by_vocabulary.json
	$(BIN)/python experiments/bench/training_step.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --out experiments/results/training_step.json
	$(BIN)/python experiments/bench/index_cost.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --out experiments/results/index_cost.json
	$(BIN)/python experiments/bench/cost_by_catalog.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --use title --sizes 1000,10000,100000 --out experiments/results/cost_by_catalog.json
	$(BIN)/python experiments/bench/second_looks.py --data $(SHOPVL_DATA) --split test --runtime openvino --bfloat16 --out experiments/results/second_looks_bfloat16.json
	$(BIN)/python experiments/bench/tag_scale.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --model $(MODEL) --bfloat16 --work runs/tag-scale --out experiments/results/tag_scale.json
	$(BIN)/python experiments/bench/tag_again.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --model $(MODEL) --fresh --out experiments/results/tag_again.json
