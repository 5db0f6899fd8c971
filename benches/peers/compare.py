#!/usr/bin/env python3
"""Runs `coffee run`, `coffee submit` where a cluster is named, and the peers on the same files in turn, checks that their answers agree, and prints the times.

A program's *whole process* goes from its start to its end. The peers also say how long they took *inside*, from the
first file opened to the last answer written, without the interpreter's start and the import of their library; it is
this shorter time that coffee's whole process is held against.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FILES = ["q1.csv", "q2_best_selling.csv", "q2_most_profit.csv", "q3.csv", "q4.csv"]
PEERS = ["duckdb", "polars"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, help="the data set's folder")
    parser.add_argument("--coffee", default="target/release/coffee", help="the program (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each, after one to warm up (default: 5)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the peers (default: this one)")
    parser.add_argument("--cluster", action="append", default=[], metavar="NAME=HOST:PORT",
                        help="a gateway of a running cluster to submit to as well; may be repeated: then the others are compared with the first, round by round")
    parser.add_argument("--no-peers", action="store_true", help="leaves the peers out")
    parsed = parser.parse_args()
    if parsed.runs < 1:
        parser.error("--runs must be at least 1")
    return parsed


def commands(options, work):
    """Each program's command line and the folder that it answers into."""
    clusters = dict(named.split("=", 1) for named in options.cluster)
    peers = [] if options.no_peers else PEERS
    outs = {name: work / name for name in ["coffee", *peers, *clusters]}
    lines = {"coffee": [options.coffee, "run", str(options.data), "--out", str(outs["coffee"]), "--quiet"]}
    for peer in peers:
        lines[peer] = [options.python, str(HERE / f"peer_{peer}.py"), str(options.data), str(outs[peer])]
    for name, gateway in clusters.items():
        lines[name] = [options.coffee, "submit", str(options.data), "--gateway", gateway, "--out", str(outs[name]), "--quiet"]
    return {name: (line, outs[name]) for name, line in lines.items()}


def run(name, line):
    """Seconds of the whole process, and inside it if the program says so."""
    begin = time.perf_counter()
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    whole = time.perf_counter() - begin
    if done.returncode != 0:
        sys.exit(f"{name} failed with exit code {done.returncode}: {' '.join(line)}\n{done.stderr}")
    words = done.stdout.split()
    inside = sum(map(float, words[1::2])) if name in PEERS else None
    return whole, inside


def check(outs):
    """Ends the comparison if two programs disagree in a single byte."""
    for name in FILES:
        expected = (outs["coffee"] / name).read_bytes()
        for other, out in outs.items():
            if (out / name).read_bytes() != expected:
                sys.exit(f"{name} of coffee and {other} differ")
    return (outs["coffee"] / "q1.csv").read_bytes().count(b"\n") - 1


def measure(options):
    """Lists of (whole, inside) by program, runs in turn; the first round isn't counted."""
    times = {}
    with tempfile.TemporaryDirectory(prefix="coffee-peers-") as work:
        programs = commands(options, pathlib.Path(work))
        for number in range(options.runs + 1):
            # In turn from either end: whoever comes first finds the machine as the last one left it.
            turn = list(programs.items())[:: 1 if number % 2 == 0 else -1]
            for name, (line, _) in turn:
                taken = run(name, line)
                if number > 0:
                    times.setdefault(name, []).append(taken)
            rows = check({name: out for name, (_, out) in programs.items()})
    print(f"the answers agree byte for byte in all {options.runs + 1} rounds ({rows} rows in q1.csv)")
    return times


def show(times, clusters):
    print(f"{'seconds':<24}{'min':>8}{'median':>8}{'max':>8}")

    def line(label, values):
        print(f"{label:<24}{min(values):>8.3f}{statistics.median(values):>8.3f}{max(values):>8.3f}")

    for name, taken in times.items():
        line(f"{name}, whole process", [whole for whole, _ in taken])
    peers = [peer for peer in PEERS if peer in times]
    for peer in peers:
        line(f"{peer}, inside", [inside for _, inside in times[peer]])
    for name in (name for name in times if name not in PEERS):
        whole = statistics.median(whole for whole, _ in times[name])
        for peer in peers:
            inside = statistics.median(inside for _, inside in times[peer])
            print(f"{name}'s whole process takes {whole / inside:.2f} of {peer}'s time inside")
    for name in clusters[1:]:
        ratios = [one[0] / other[0] for one, other in zip(times[name], times[clusters[0]])]
        line(f"{name} / {clusters[0]}", ratios)


def main():
    options = arguments()
    size = sum(path.stat().st_size for path in options.data.glob("*/*.csv"))
    load = os.getloadavg()[0]
    print(f"{options.data}: {size / 1e6:.0f} MB; {os.cpu_count()} cores, load {load:.2f} before the first run")
    show(measure(options), [named.split("=", 1)[0] for named in options.cluster])


if __name__ == "__main__":
    main()
