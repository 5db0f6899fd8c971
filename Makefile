# The commands of the project, by name. Nothing here is needed to build or to depend on it.

CARGO ?= cargo

.PHONY: check fmt clippy doc test outside bench demo peers dataflow

# The gate, as CI runs it: all of fmt, clippy, doc and test, the examples, and a program outside the workspace.
check:
	scripts/test

fmt clippy doc test outside:
	scripts/test $@

bench:
	$(CARGO) bench --locked --package coffee-pipelines

demo:
	scripts/demo

peers:
	benches/peers/compare.sh

dataflow:
	$(CARGO) run --release --locked --manifest-path benches/dataflow/Cargo.toml
