# The verbs of this repository. `make demo` and `make test` install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-$(shell date +%Y%m%d-%H%M%S)
export MPLBACKEND := Agg

.PHONY: demo demo-deploy test fast lint notebooks clean

demo: $(VENV)/installed
	@echo "== embedding sharing through flwr run: six synthetic machines, six clients =="
	$(BIN)/collab-asd run --engine ray --supernodes 6 --out results/$(DEMO)
	@echo "== the same clips with nothing shared: each client's own Mahalanobis distance =="
	$(BIN)/collab-asd run --quiet --supernodes 6 --method local-mahalanobis --set report=false --out results/$(DEMO)-local
	@echo "== both on one page =="
	$(BIN)/collab-asd report results/$(DEMO) results/$(DEMO)-local --out results/$(DEMO)-compared

# DATA=/path/to/recordings takes yours, with four machines, in place of synthetic ones.
demo-deploy: $(VENV)/installed
	@echo "== a server and four factories: real processes on this machine, over TLS, each with keys and a folder of its own =="
	$(BIN)/collab-asd deploy init results/$(DEMO)-deploy --clients 4 --host 127.0.0.1
	$(BIN)/collab-asd deploy local results/$(DEMO)-deploy $(if $(DATA),--data $(DATA)) --compare

test: $(VENV)/installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

fast: $(VENV)/installed-test
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Executes the notebooks, which are committed with their outputs: 00 on synthetic machines, the others on results/toycar and
# results/noniid of `collab-asd compare` and on result folders in results/privacy that `collab-asd audit` has looked at.
notebooks: $(VENV)/installed-test
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		notebooks/00_quickstart.ipynb notebooks/01_per_id_auc.ipynb notebooks/02_non_iid.ipynb notebooks/03_privacy.ipynb

clean:
	rm -rf $(VENV) results dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# pip, not uv: it takes the torch build that this machine's pip is set up for.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/installed
