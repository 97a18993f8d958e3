# Every target sets itself up from a bare clone: a virtual environment in .venv, then the job.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# torch is pinned for development: one known CPU file instead of gigabytes of CUDA wheels.
TORCH ?= torch==2.13.0
WORKERS ?= 2

.PHONY: help demo mnist test check check-slow bench browser clean
help:
	@echo "make demo        train an LSTM + KANHead on real weather data, write reports/nyc_weather.html"
	@echo "make mnist       every prune rule and schedule against chance (five minutes)"
	@echo "make test        the whole test suite (under 10 minutes on 2 cores)"
	@echo "make check       ruff, mypy, import-linter"
	@echo "make check-slow  the slow checks (five seeds of the demo, large models)"
	@echo "make bench       speed against peers as ratios of interleaved medians, selection on planted problems (half an hour)"

$(VENV)/base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo]"
	touch $@

$(VENV)/dev: $(VENV)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo,dev]"
	touch $@

$(VENV)/peers: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/benchmarks/peers.txt
	touch $@

demo: $(VENV)/base
	$(BIN)/python case_studies/nyc_weather.py

mnist: $(VENV)/base
	$(BIN)/python case_studies/mnist_pruning.py

# with the other KAN libraries installed: their contract tests are not to be skipped
test: $(VENV)/peers
	KANINTERP_REQUIRE_PEERS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow"

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-slow: $(VENV)/dev
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/peers
	$(BIN)/python -m pytest tests/benchmarks -q -s -p no:xdist

browser:
	command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
