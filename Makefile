# Each target is one script; `make` alone lists them.
.DEFAULT_GOAL := help
.NOTPARALLEL:
# Where rustup puts cargo; a shell that was open before does not know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
.PHONY: help run demo build test test-matrix test-clients bench bench-instructions bench-memory bench-client bench-http fuzz docker-test lint package clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-22s%s\n", $$1, $$2 }'

run: ## build, find or install a server, run it with the module until Ctrl-C (SERVER=path, PORT=6379)
	@scripts/run.sh

demo: ## a server, two instances of the service and the live page, until Ctrl-C (SERVER=path, PORT=3000)
	@scripts/demo.sh

build: ## build the module: target/release/libratelimit.so
	@scripts/setup.sh build
	cargo build --release --locked

test: ## run every test on the servers found here; installs Redis, nginx, Prometheus and Chromium (apt) and Python packages where missing (SERVER=path)
	@scripts/test.sh

test-matrix: ## get every server of the matrix and run every test on each
	@scripts/test.sh matrix

test-clients: ## run the snippets of docs/clients.md, each with its own client; installs the clients (SERVER=path)
	@scripts/test-clients.sh

bench: bench-memory bench-client ## throughput, latency and memory per key, and the Rust client (SERVER=path, ROUNDS=3)
	@bench/throughput.sh

bench-memory: ## memory per key alone, on every server found
	@bench/memory.sh

bench-client: ## the Rust client alone: module, Lua twin, common script, remembered denials (SERVER=path, ROUNDS=3)
	@bench/client.sh

bench-http: ## the service beside Express with the common script, by wrk; installs both (SERVER=path, ROUNDS=5)
	@bench/http.sh

bench-instructions: ## instructions per command, counted with callgrind (SERVER=path)
	@bench/instructions.sh

fuzz: ## fuzz each target for a while (SECONDS_EACH=60)
	@scripts/fuzz.sh

docker-test: ## build the images and run them, alone and together behind nginx; needs a Docker engine (BASES=local)
	@docker/test.sh

lint: ## formatting, clippy, the walls between the crates, shellcheck where it is installed
	@scripts/lint.sh

package: ## a tarball of the module with its documents, tried on a real server: target/package/ (SERVER=path)
	@scripts/release/package.sh

clean: ## remove what was built; keeps the downloaded servers in .servers/
	cargo clean
