# `make` alone lists what there is. Everything a target needs it installs, or says what is missing.
.DEFAULT_GOAL := help
.PHONY: help setup demo test scenarios prove-guards check bench cluster eval eval-planner

CARGO_DENY := 0.20.2
GUARDS_OUT := kubewise-kubernetes/guard-mutation,kubewise-remediation/guard-mutation,kubewise-runtime/guard-mutation,kubewise-sqlite/guard-mutation

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## install what the tests need: Debian packages and a real Kubernetes, built from pinned sources
	@scripts/setup

demo: ## watch KubeWise repair a simulated cluster; needs nothing but Rust
	cargo run --package kubewise -- demo

test: setup ## run every test, also against the real Kubernetes
	cargo test --workspace
	cargo xtask prove-guards

scenarios: setup ## play the failures of scenarios/ on the real Kubernetes and print the scoreboard; ONLY=12,14 plays these
	KUBEWISE_ONLY="$(or $(ONLY),all)" cargo test --workspace --test it scenarios_end -- --nocapture

prove-guards: ## each safety guard, its fault, and the run without it that must fail
	cargo xtask prove-guards

check: ## format, lints, docs, walls of the house, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --tests --features $(GUARDS_OUT) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo xtask check
	@cargo deny --version 2>/dev/null | grep -q "$(CARGO_DENY)" || cargo install --locked --quiet cargo-deny@$(CARGO_DENY)
	cargo deny check bans licenses sources

eval: ## measure detection on labelled data; docs/evaluation.md holds the figures
	scripts/eval

eval-planner: ## let authors of every kind propose plans on simulated clusters, and count what was right
	cargo test --package kubewise-runtime --test it planner_scoreboard -- --nocapture

bench: ## measure speed and memory; docs/benchmarks.md holds the figures
	scripts/bench

cluster: setup ## start a real Kubernetes to play with; `cargo xtask cluster down` ends it
	cargo xtask cluster up
