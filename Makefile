# The verbs of this repository. `make demo` and `make test` install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RESULTS := results
DEMO := $(RESULTS)/demo-$(shell date +%Y%m%d-%H%M%S)
# Exact releases and their hashes. `make LOCK= demo` installs the newest that pyproject.toml allows instead.
LOCK := requirements.lock
# As on a machine without settings of its own for pip and uv.
BARE := env -u PYTHONPATH -u PIP_CONSTRAINT -u PIP_EXTRA_INDEX_URL -u PIP_FIND_LINKS -u PIP_INDEX_URL \
	-u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_INDEX -u UV_INDEX_URL PIP_CONFIG_FILE=/dev/null
export MPLBACKEND := Agg

# Installs with pip, not uv: it takes the torch build that this machine's pip is set up for. pip unpacks gigabytes in
# silence, so a line every ten seconds says that it goes on.
define install
	@echo "== installing into $(VENV): $(1) =="
	@( while sleep 10 >/dev/null 2>&1; do echo "   still installing: $$(du -sm $(VENV) 2>/dev/null | cut -f1) MB in $(VENV)"; done ) & \
		lines=$$!; trap "kill $$lines" EXIT; $(BIN)/python -m pip install $(2)
endef

.PHONY: demo demo-deploy test fast lint mutants soak evidence docs notebooks lock sbom check-install clean

demo: $(VENV)/installed
	@echo "== embedding sharing through flwr run: six synthetic machines, six clients, twelve normal recordings each =="
	$(BIN)/collab-asd run --engine ray --supernodes 6 --set train-clips=12 --out $(DEMO)
	@echo "== the same clips with nothing shared: each client's own Mahalanobis distance =="
	$(BIN)/collab-asd run --quiet --supernodes 6 --set train-clips=12 --method local-mahalanobis --set report=false --out $(DEMO)-local
	@echo "== both on one page =="
	$(BIN)/collab-asd report $(DEMO) $(DEMO)-local --out $(DEMO)-compared

# DATA=/path/to/recordings takes yours, with four machines, in place of synthetic ones.
demo-deploy: $(VENV)/installed
	@echo "== a server and four factories: real processes on this machine, over TLS, each with keys and a folder of its own =="
	$(BIN)/collab-asd deploy init $(DEMO)-deploy --clients 4 --host 127.0.0.1
	$(BIN)/collab-asd deploy local $(DEMO)-deploy $(if $(DATA),--data $(DATA)) --compare

test: $(VENV)/installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

fast: $(VENV)/installed-test
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports

# One change at a time to what decides results; exit code 1 for one that no test notices and nobody has judged.
MINUTES ?= 20
mutants: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutants.py --minutes $(MINUTES)

# A server and four factories, real processes, under faults: exit code 1 if a run is not completed or scores differently.
SOAK := 20
soak: $(VENV)/installed-test
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
		OMP_NUM_THREADS=1 $(BIN)/python benchmarks/soak.py "$$scratch/consortium" --minutes $(SOAK)

# Runs the comparisons whose tables README and docs/evidence.md quote, and writes these anew: DATA=/path/to/toycar. On two quiet
# cores toycar, few-shot and noniid take half an hour each and published half a day; ONLY="toycar noniid" names some. The same command
# takes up what was interrupted. published needs YAMNet's weights (WEIGHTS=yamnet.h5, or a network to download them by); aiSFX's come by pip.
evidence: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/evidence.py --data "$(DATA)" $(if $(ONLY),--only $(ONLY)) $(if $(WEIGHTS),--weights yamnet=$(WEIGHTS))

# The site in site/; a broken link or name ends it.
docs: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Executes the notebooks, which are committed with their outputs: 00 on synthetic machines, the others on results/toycar,
# results/noniid and results/few-shot of `collab-asd compare` and on result folders in results/privacy that `collab-asd audit` has looked at.
notebooks: $(VENV)/installed-test
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		notebooks/00_quickstart.ipynb notebooks/01_per_id_auc.ipynb notebooks/02_non_iid.ipynb notebooks/03_privacy.ipynb \
		notebooks/04_how_many_recordings.ipynb

# Pins the newest releases that pyproject.toml allows: run the tests before they are committed.
lock: $(VENV)/installed
	@echo "# What collab-asd[noise] needs, with hashes: the releases that the tests run with, on Linux x86_64 and Python 3.11." > $@.new
	@echo "# It lists those for Python 3.12 to 3.14 and for other systems, too, which is not tested." >> $@.new
	$(BARE) $(BIN)/uv pip compile pyproject.toml --extra noise --no-config --universal --python-version 3.11 --generate-hashes \
		--upgrade --prerelease disallow --custom-compile-command "make lock" --quiet >> $@.new
	mv $@.new requirements.lock

# A software bill of materials (CycloneDX) in sbom.json: every release of the lock file, with its hashes. The tool has an
# environment of its own, and nothing of collab-asd is installed for it.
sbom:
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && $(PYTHON) -m venv "$$scratch" && \
		"$$scratch/bin/python" -m pip install --quiet 'cyclonedx-bom>=7.5,<8' && \
		PYTHONWARNINGS=ignore "$$scratch/bin/cyclonedx-py" requirements requirements.lock --pyproject pyproject.toml \
			--output-reproducible --output-file sbom.json

# Downloads gigabytes: what a new user gets, from a package index alone, into an environment that is removed afterwards.
check-install:
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
		$(BARE) PIP_NO_CACHE_DIR=1 $(MAKE) demo VENV="$$scratch/venv" RESULTS="$$scratch/results"

clean:
	rm -rf $(VENV) results dist build sbom.json .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# pip, not uv: it takes the torch build that this machine's pip is set up for.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "Python 3.11 to 3.14 is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml $(LOCK) | $(VENV)/bin/python
	$(if $(LOCK),$(call install,the releases of $(LOCK); 6 GB and nearly all of it PyTorch,--require-hashes --requirement $(LOCK)))
	$(call install,collab-asd$(if $(LOCK),, with the newest releases that it allows; 6 GB and nearly all of it PyTorch),--quiet $(if $(LOCK),--no-deps) --editable .)
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(call install,what the tests need,--quiet --editable '.[test]')
	touch $@
