# Everything a newcomer needs: `make demo`, `make test`. Each does its own set-up.
.DEFAULT_GOAL := help
.PHONY: help setup kubo demo test audit audit-full nightly soak flood nodes schedules lint format abi code page bench docs reference lock clean

# The pinned tools first on PATH, as `source scripts/env.sh` gives them by hand.
ENV := . scripts/env.sh;
SETUP := PYTHON='$(PYTHON)' scripts/bootstrap
SOLIDITY := $(wildcard contracts tests/forge tests/halmos tests/model)

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1@/p' $(MAKEFILE_LIST) | \
	while IFS=@ read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

setup:  ## install everything pinned into .venv, node_modules, web/node_modules and .tools
	@$(SETUP)

kubo:  ## also have an IPFS node: from PATH, else built into .tools (minutes, once)
	@$(SETUP) --kubo

demo: setup  ## watch real sales happen on a local chain (KEEP=1 leaves it running)
	@$(ENV) exec python tools/demo.py

test: setup  ## run every test, with a real IPFS node
	@$(ENV) exec python tools/run_tests.py

audit: setup  ## what shows that the contract adds up, in its quick form (under 20 minutes)
	@$(ENV) exec python tools/audit.py $(STAGES)

audit-full: setup  ## ... in its nightly form (hours; writes .build/audit/audit-full.md)
	@$(ENV) exec python tools/audit.py --full --write $(STAGES)

nightly: setup  ## audit-full, faults, schedules, nodes, chains, flood, verdicts, soak (STAGES="faults soak", MINUTES= of the soak)
	@$(ENV) exec python tools/nightly.py --minutes $(or $(MINUTES),60) $(STAGES)

soak: setup  ## an hour under every fault (MINUTES=, RATE=, SEED=, WRITE=1 renews docs/soak.md)
	@$(ENV) exec python tools/soak.py --minutes $(or $(MINUTES),60) --rate $(or $(RATE),1) \
	  --seed $(or $(SEED),1) $(if $(WRITE),--write)

flood: setup  ## a block full of the market's own logs: what daemons make of it (exit 1 over a bar)
	@$(ENV) exec python tools/flood.py $(FLOODS)

nodes: setup  ## whole sales on geth, Hardhat and rollups, and a table of what came of them
	@$(SETUP) --chains
	@$(ENV) exec python tools/nodes.py $(if $(WRITE),--write) $(NODES)

schedules: setup  ## two hundred random schedules of faults (DAM_SCHEDULES=, each by its seed)
	@$(ENV) DAM_SCHEDULES=$${DAM_SCHEDULES:-200} python -m pytest -p no:ape_test \
	  tests/faults/test_schedules.py

lint: setup  ## ruff, formatting, types, layers; the same of web
	@$(ENV) ruff check . && ruff format --check . && mypy && lint-imports --no-cache && python tools/path_size.py && forge fmt --check $(SOLIDITY) && npm --prefix web run --silent check

format: setup  ## format everything in place
	@$(ENV) ruff check --fix --exit-zero . && ruff format . && forge fmt $(SOLIDITY) && npm --prefix web run --silent format

page: setup  ## build the storefront's page, and write web/dist.sha256
	@$(ENV) exec node web/build.mjs --sums

code: setup  ## compile and rewrite the code and sources that ship with the package
	@$(ENV) exec python tools/code.py

abi: setup  ## compile and rewrite src/dam/abi
	@$(ENV) exec python tools/abi.py

bench: setup  ## run the measured comparisons
	@$(ENV) set -e; for file in bench/[a-z]*.py; do echo "== $$file"; python "$$file"; done

docs:  ## build the documentation into .build/site, links checked
	@$(SETUP) --docs
	@$(ENV) exec python tools/docs.py

reference: setup  ## rewrite the pages of docs/reference that are made from code and schema
	@$(ENV) exec python tools/reference.py --write

# The inputs are pyproject.toml and requirements/*.in; package-lock.json is npm's own.
COMPILE := .tools/uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header

lock: setup  ## pin the requirements again after a change (UPGRADE=1 takes new versions)
	@for name in uv node go audit docs; do \
	  $(COMPILE) $(if $(UPGRADE),--upgrade) requirements/$$name.in -o requirements/$$name.txt; done
	@$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml requirements/dev.in -o requirements/dev.txt
	@$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt

clean:  ## remove everything that make has made
	rm -rf .venv node_modules web/node_modules src/dam/web/static .tools .build .mypy_cache .pytest_cache .ruff_cache .hypothesis
