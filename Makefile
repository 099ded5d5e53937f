# Two commands matter: `make demo` and `make test`. Both do their own set-up.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .make

.PHONY: help demo test setup setup-test frontend lint types imports islands unit slow bench bench-severity bench-registration bench-risk bench-node bench-dashboard figures demo-films clean

help:
	@echo "make demo      set up and serve a sample ward (pages on http://127.0.0.1:8080)"
	@echo "make test      set up and run every check that CI runs"
	@echo "make setup     virtual environment, packages and pages, ready for .venv/bin/carina"
	@echo "make lint types imports unit    the parts of make test"
	@echo "make slow      soak tests; make bench, bench-severity, bench-registration, bench-risk: they need ../shared/data"

demo: setup
	@exec $(BIN)/carina demo

setup: $(STAMPS)/base frontend

setup-test: $(STAMPS)/test frontend
	@scripts/debian-packages.sh

$(STAMPS)/venv:
	@scripts/venv.sh $(PYTHON) $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/base: $(STAMPS)/venv pyproject.toml constraints.txt
	@scripts/install.sh $(BIN) .
	@touch $@

$(STAMPS)/test: $(STAMPS)/venv pyproject.toml constraints.txt
	@scripts/install.sh $(BIN) '.[train,test]'
	@touch $@ $(STAMPS)/base

frontend: $(STAMPS)/venv
	@scripts/frontend.sh $(BIN)

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy --strict models registration risk service

imports:
	$(BIN)/lint-imports

unit:
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

islands:
	cd service/dashboard/frontend && PATH="$(CURDIR)/$(BIN):$$PATH" npm test --silent

test: setup-test lint imports types islands unit

slow: setup-test
	$(BIN)/python -m pytest -m slow --timeout 3600

bench: setup-test
	$(BIN)/python -m benchmarks

bench-severity: setup-test
	@status=0; for one in severity severity_speed severity_robustness; do \
		$(BIN)/python -m benchmarks.$$one || status=1; done; exit $$status

bench-registration: setup-test
	@status=0; for one in registration registration_speed; do \
		$(BIN)/python -m benchmarks.$$one || status=1; done; exit $$status

bench-node: setup-test
	$(BIN)/python -m benchmarks.node

bench-dashboard: setup-test
	$(BIN)/python -m benchmarks.dashboard

bench-risk: setup-test
	@status=0; for one in ventilation outpatient; do \
		$(BIN)/python -m benchmarks.$$one || status=1; done; exit $$status

figures:
	$(BIN)/python benchmarks/figures.py

demo-films: setup-test
	$(BIN)/python benchmarks/demo_films.py --ct ../shared/data/ct

clean:
	rm -rf $(STAMPS) $(VENV) service/dashboard/static/built
