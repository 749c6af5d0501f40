# Everything a person or CI does with this repository. Needs Debian 12 (or alike) and Rust; installs the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Tools are installed for this repository only, at these versions; a tool that is already on the PATH is used as it is.
export PATH := $(CURDIR)/.tools/bin:$(PATH)
NEXTEST_VERSION := 0.9.151
DENY_VERSION := 0.20.2
# A tool that runs for seconds need not be optimised for minutes.
INSTALL_TOOL := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	cargo install --locked --root .tools

# For recipes that talk to the test servers. In two steps, so that a failure of the first is not lost.
WITH_SERVERS = addresses="$$(tests/servers.sh env)" && eval "$$addresses" &&

.PHONY: help demo docs check fmt fmt-check clippy deny test faults test-all sim bench servers servers-down oracle browser tools \
	cargo-nextest cargo-deny build-deps
# Two recipes may install Debian packages, and cargo keeps the processors busy by itself.
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: build-deps ## copy two databases, kill a worker in the middle, verify: no server needed
	@cargo build --locked
	@cargo run --quiet --locked -- demo

check: fmt-check clippy deny ## what must pass before a commit, besides the tests

fmt: ## format the code
	cargo fmt --all

fmt-check:
	cargo fmt --all --check

clippy: build-deps
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny: cargo-deny
	cargo deny --locked check bans licenses sources

test: build-deps servers oracle browser cargo-nextest ## all tests, on real servers that it installs and starts
	@$(WITH_SERVERS) .venv/bin/python -m unittest discover tests/oracle && .venv/bin/python -m unittest discover --start-directory tests/tds --pattern test_double.py
	@$(WITH_SERVERS) cargo nextest run --workspace --locked --features failpoints

test-all: build-deps servers oracle browser cargo-nextest ## also the tests that take minutes
	@$(WITH_SERVERS) .venv/bin/python -m unittest discover tests/oracle && .venv/bin/python -m unittest discover --start-directory tests/tds --pattern test_double.py
	@$(WITH_SERVERS) cargo nextest run --workspace --locked --features failpoints --run-ignored all

faults: build-deps servers oracle browser cargo-nextest ## the fault suite, the long ones included; as root nothing is skipped
	@$(WITH_SERVERS) cargo nextest run --workspace --locked --features failpoints -E 'binary(faults)' --run-ignored all

docs: build-deps ## write what is generated: schema of specs, OpenAPI document, pages on engines and seeds
	cargo run --quiet --locked -- config schema >schema/spec.v1.json
	SYNCLINE_WRITE_DOCS=1 cargo test --quiet --locked -p syncline-coordinator the_page_says_what_the_program_does
	SYNCLINE_WRITE_DOCS=1 cargo test --quiet --locked --test docs every_id_of_the_seed_has_tests_or_a_word
	SYNCLINE_UPDATE_SCHEMA=1 cargo test --quiet --locked -p syncline-api the_checked_in_document_is_the_generated_one

SEEDS ?= 2000
sim: build-deps ## simulate many fleets under faults, each from one seed: SEEDS=100000
	SYNCLINE_SIM_SEEDS=$(SEEDS) cargo test --release --locked -p syncline-sim --test seeds -- --nocapture

bench: build-deps servers oracle ## how fast it is, next to other tools, on this machine
	@$(WITH_SERVERS) cargo build --release --locked --package syncline --package syncline-harness && target/release/scaling && target/release/delta && target/release/documents && target/release/billing && target/release/bench

servers: ## start the servers of all engines and Redis for the tests
	@tests/servers.sh up

servers-down: ## end them and remove their data
	@tests/servers.sh down

oracle: ## the Python environment of tests/oracle
	@tests/oracle/setup.sh

browser: ## Chromium and Node for the tests of the dashboard
	@tests/browser/setup.sh

tools: cargo-nextest cargo-deny ## the test runner and the licence checker

cargo-nextest: build-deps
	@command -v cargo-nextest >/dev/null || $(INSTALL_TOOL) --version $(NEXTEST_VERSION) --no-default-features cargo-nextest

cargo-deny: build-deps
	@command -v cargo-deny >/dev/null || $(INSTALL_TOOL) --version $(DENY_VERSION) cargo-deny

# Rust links with cc, and SQLite and the TLS library are compiled from C.
build-deps:
	@command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || tests/servers.sh install gcc libc6-dev
