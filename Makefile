# The only thing that has to be there is Python >= 3.11. Everything else is a wheel.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
ifeq ($(INBOXOPS_HOME),)
export INBOXOPS_HOME := $(CURDIR)/.inboxops
endif

API_FUZZ_EXAMPLES ?= 200
CRASHES ?= 10

.DEFAULT_GOAL := help

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST)) | sort

starts: $(VENV)/.installed-dev ## the first command where newcomers are: as root, as a user, in odd folders
	$(BIN)/python tests/starts.py $(SITUATIONS)

.PHONY: help pin-images intruders sbom audit starts celery docs browser crash outages soak mutations fuzz kills run screenshots test lint lock clean install

run: $(VENV)/.installed ## start everything, show the demonstration tickets, stay in front
	$(BIN)/inboxops up

test: $(VENV)/.installed-dev ## three processes, each with servers of its own, on two cores, for they wait a lot; one file, or Airflow's whole stack, is never divided
	$(BIN)/python -m pytest -n 3 --dist loadscope

fuzz: $(VENV)/.installed-dev ## schemathesis over the OpenAPI document
	INBOXOPS_FUZZ_EXAMPLES=$(API_FUZZ_EXAMPLES) $(BIN)/python -m pytest tests/api/test_fuzz.py --timeout 3600

kills: $(VENV)/.installed-dev ## kill the sender ten times at each step
	INBOXOPS_TEST_KILLS=10 $(BIN)/python -m pytest tests/sending/test_kills.py tests/sending/test_cloud_replies.py -k kill --timeout 3600

mutations: $(VENV)/.installed-dev ## damaged mails for so many SECONDS
	INBOXOPS_MUTATION_SECONDS=$(or $(SECONDS),600) $(BIN)/python -m pytest tests/core/test_mutations.py -s --timeout 7200

crash: $(VENV)/.installed-dev ## kill a process ten times at each boundary, at every provider, and see the next run end it (about three hours)
	INBOXOPS_TEST_CRASHES=$(CRASHES) $(BIN)/python -m pytest tests/crash --timeout 3600

outages: $(VENV)/.installed-dev ## what goes away and comes back: services, mail servers, sign-ins, Airflow's API, disks, clocks; and every way to end a command
	INBOXOPS_TEST_ENDINGS=all $(BIN)/python -m pytest tests/outages tests/crash/test_clock.py tests/stack/test_homes.py tests/stack/test_endings.py --timeout 600

soak: $(VENV)/.installed-dev ## mixed load for so many MINUTES while parts are killed and hang, and an account of everything
	env -u INBOXOPS_HOME $(BIN)/inboxops bench soak --minutes $(or $(MINUTES),60)

celery: $(VENV)/.installed-dev ## the end-to-end tests with Celery: two workers, two schedulers, two triggerers
	INBOXOPS_TEST_EXECUTOR=celery $(BIN)/python -m pytest tests/e2e --timeout 900

browser: $(VENV)/.installed-dev ## the tests of the tickets page, in Chromium
	$(BIN)/python -m pytest tests/browser

screenshots: $(VENV)/.installed-dev ## the pictures of the documentation
	INBOXOPS_PICTURES=$(CURDIR)/docs/pictures $(BIN)/python -m pytest tests/browser/test_pictures.py tests/e2e/test_pictures.py

docs: $(VENV)/.installed-dev ## the documentation as a site, in site/, with references made from the code
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: $(VENV)/.installed-dev ## style, types, and the ways in which packages may import each other
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.installed ## the environment alone

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "InboxOps needs Python 3.11 or newer; set PYTHON=python3.12 or the like")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

UV_VERSION := 0.13.9

$(VENV)/.installed: requirements.txt pyproject.toml include/inboxops_local/pyproject.toml include/inboxops_lab/pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e . -e include/inboxops_local -e include/inboxops_lab
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	touch $@

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

lock: | $(UV) ## resolve the short lists again; hashes of every file of every platform
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt

sbom: $(VENV)/.installed-dev ## CycloneDX bill of materials and the list of licences, into build/
	mkdir -p build
	$(BIN)/cyclonedx-py requirements --output-reproducible --output-format JSON --output-file build/sbom.cdx.json requirements.txt
	$(BIN)/python tests/intruders/licences.py requirements.txt > build/licences.txt
	@echo "build/sbom.cdx.json, build/licences.txt"

audit: $(VENV)/.installed-dev ## known vulnerabilities of what is locked, or a clear word that nobody could be asked
	$(BIN)/python tests/intruders/audit.py requirements.txt

pin-images: $(VENV)/.installed ## the images of docker-compose.yaml and the Dockerfile by digest, as their registries have them now; CHECK=1 writes nothing
	$(BIN)/python deploy/pin_images.py $(if $(CHECK),--check)

intruders: $(VENV)/.installed-dev ## attack every door, with the long tables; DEFENCES=out takes defences out, one at a time, and sees a test fail each time
	INBOXOPS_TEST_INTRUDERS=1 $(BIN)/python -m pytest $(if $(DEFENCES),tests/intruders/defences.py,-n 2 --dist loadscope tests/intruders $(INTRUDERS_ELSEWHERE)) --timeout 600

INTRUDERS_ELSEWHERE := tests/push/test_gmail_webhook.py tests/push/test_graph_webhook.py tests/providers/test_reach.py tests/browser/test_hostile.py \
  tests/sending/test_autorespond.py tests/storage/test_s3.py tests/test_vault.py tests/stories/test_log.py tests/core/test_ids.py tests/core/test_explain.py tests/core/test_authentication.py \
  --deselect tests/storage/test_s3.py::test_objects_outlive_a_restart_however_their_names_were_kept

clean: ## stop the stack; remove its data, the environment and the caches
	[ ! -x $(BIN)/inboxops ] || $(BIN)/inboxops down
	[ ! -L "$(INBOXOPS_HOME)/postgres" ] || rm -rf "$$(dirname "$$(readlink "$(INBOXOPS_HOME)/postgres")")"
	rm -rf $(VENV) "$(INBOXOPS_HOME)" .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
