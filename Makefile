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

.PHONY: install install-paddle demo test test-real model model-rehearsal bench bench-search bench-tag lint schemas clean

install: $(VENV)/installed

# torch comes first and pinned, or another package may bring a newer build of several GB
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch torchvision
	$(BIN)/pip install -q -c constraints.txt -e '.[app,track,ocr,dev,milvus,ray]'
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

test-real: install
	$(BIN)/pytest -m realdata

# the bundled model, from the data up: about seven hours on two cores; goes on where it was when it is started again
MODEL_RUN := $(CURDIR)/runs/model
MODEL_BOX := $(CURDIR)/shopvl/shipped
MODEL_SHARE := 1
model: export SHOPVL_MODEL = $(MODEL_RUN)
model: install
	$(BIN)/pip install -q -c constraints.txt -e '.[model]'
	test -f $(MODEL_RUN)/answers.json || $(BIN)/python experiments/model/prepare_data.py --data $(SHOPVL_DATA) --share $(MODEL_SHARE) --out $(MODEL_RUN)
	$(BIN)/shopvl pretrain experiments/model/towers.yaml --out $(MODEL_RUN)/towers
	$(BIN)/shopvl tune experiments/model/answers.yaml --out $(MODEL_RUN)/answers
	$(BIN)/shopvl tune experiments/model/more.yaml --out $(MODEL_RUN)/more
	test -f $(MODEL_RUN)/averaged/config.json || $(BIN)/python experiments/model/average_weights.py $(MODEL_RUN)/answers $(MODEL_RUN)/more --rows $(MODEL_RUN)/rows.parquet --out $(MODEL_RUN)/averaged
	$(BIN)/shopvl tune experiments/model/promoted.yaml --out $(MODEL_RUN)/promoted
	test -f $(MODEL_RUN)/final/config.json || $(BIN)/python experiments/model/average_weights.py $(MODEL_RUN)/averaged $(MODEL_RUN)/promoted --share 0.25 --pictures 0.75 --rows $(MODEL_RUN)/rows.parquet --out $(MODEL_RUN)/final
	test -f $(MODEL_RUN)/imagenet/config.json || $(BIN)/python experiments/model/init_from_imagenet.py --words $(MODEL_RUN)/final --size 128 96 --out $(MODEL_RUN)/imagenet
	$(BIN)/shopvl tune experiments/model/photos.yaml --out $(MODEL_RUN)/photos
	$(BIN)/shopvl tune experiments/model/together.yaml --out $(MODEL_RUN)/together
	test -f $(MODEL_RUN)/ensemble/config.json || $(BIN)/python experiments/model/ensemble.py $(MODEL_RUN)/final $(MODEL_RUN)/together --rows $(MODEL_RUN)/rows.parquet --out $(MODEL_RUN)/ensemble
	test -f $(MODEL_RUN)/outside.parquet || $(BIN)/python experiments/model/prepare_outside.py --data $(SHOPVL_DATA) --rows $(MODEL_RUN)/rows.parquet --share $(MODEL_SHARE) --out $(MODEL_RUN)
	test -f $(MODEL_RUN)/outside/config.json || $(BIN)/python experiments/model/learn_outside.py $(MODEL_RUN)/ensemble --rows $(MODEL_RUN)/outside.parquet --ontology $(MODEL_RUN)/answers.json --out $(MODEL_RUN)/outside
	$(BIN)/shopvl evaluate $(MODEL_RUN)/outside $(SHOPVL_DATA)/fashion-products-small.parquet --out $(MODEL_RUN)/scores
	$(BIN)/shopvl evaluate $(MODEL_RUN)/outside $(SHOPVL_DATA)/fashion-products-224.parquet --out $(MODEL_RUN)/scores-224
	$(BIN)/python experiments/model/export_model.py $(MODEL_RUN)/outside --scores $(MODEL_RUN)/scores --scores-224 $(MODEL_RUN)/scores-224 --out $(MODEL_BOX)

# every step of it with 3% of the products, into a box of its own: says in half an hour of one core whether all still run
model-rehearsal:
	rm -rf $(CURDIR)/runs/rehearsal
	$(MAKE) model MODEL_RUN=$(CURDIR)/runs/rehearsal MODEL_BOX=$(CURDIR)/runs/rehearsal/box MODEL_SHARE=0.03

# quality and speed against peers, in one run; writes experiments/results/
bench: install
	$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python experiments/bench/tfidf_baseline.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --out experiments/results/tfidf_title.json
	$(BIN)/python experiments/bench/race.py --data $(SHOPVL_DATA)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo runs build dist

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

# tagging: races against peers, a long catalog, a second run; MODEL is a tuned model folder
bench-tag: install
	$(BIN)/python experiments/bench/tag_race.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --model $(MODEL) --out experiments/results/tag_race.json
	$(BIN)/python experiments/bench/tag_scale.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --model $(MODEL) --bfloat16 --work runs/tag-scale --out experiments/results/tag_scale.json
	$(BIN)/python experiments/bench/tag_again.py --data $(SHOPVL_DATA)/fashion-products-small.parquet --model $(MODEL) --fresh --out experiments/results/tag_again.json
