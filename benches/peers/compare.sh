#!/bin/sh
# Compares `coffee run` with DuckDB and Polars on this machine: builds the program, makes a Python environment with the
# peers, generates data (2 months of 600,000 transactions, 200,000 users) if the folder isn't there, and measures.
#
#   benches/peers/compare.sh [--data DIR] [--coffee BIN] [--runs N]
#
# Paths are seen from the project's folder. Everything it makes is below target/. Needs cargo, python3 with venv, and
# the network once.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
data=$target/peers/data
coffee=
runs=5
while [ $# -gt 0 ]; do
    case $1 in
        --data) data=${2:?--data needs a folder}; shift 2 ;;
        --coffee) coffee=${2:?--coffee needs a program}; shift 2 ;;
        --runs) runs=${2:?--runs needs a number}; shift 2 ;;
        *) echo "usage: $0 [--data DIR] [--coffee BIN] [--runs N]" >&2; exit 2 ;;
    esac
done

if [ -z "$coffee" ]; then
    cargo build --release --bin coffee
    coffee=$target/release/coffee
fi

venv=$target/peers/venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r benches/peers/requirements.txt

if [ ! -d "$data" ]; then
    # Aside first: an interrupted run leaves no half data set behind.
    rm -rf "$data.part"
    mkdir -p "$(dirname "$data")"
    "$coffee" generate "$data.part" --months 2024-01,2025-01 --transactions 600000 --users 200000 --seed 1
    mv "$data.part" "$data"
fi

exec "$venv/bin/python" benches/peers/compare.py "$data" --coffee "$coffee" --runs "$runs"
