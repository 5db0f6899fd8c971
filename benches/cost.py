#!/usr/bin/env python3
"""What a job costs: processor time and bytes, by stage, for the broker and for the client.

Each cluster is started by `coffee up`, all of them beside each other; then the same job is submitted to them in turn. Idle clusters
count for nothing, as only what is used while a cluster's own job runs is counted. All answers are compared with those of `coffee run`.

    cost.py DATA --broker URL --broker-pid PID --cluster plain '' '' --cluster tls '--tls-certificate ..' '--tls-authority ..'

A cluster has a name, flags of `coffee up`, and flags of `coffee submit`. Its figures are a million rows of the data's largest table.
"""
import argparse
import collections
import os
import pathlib
import re
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")
READY = 60  # seconds that a cluster's start may take
BOUND = 600  # seconds that a job may take


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path, help="the data set's folder")
    parser.add_argument("--coffee", default="target/release/coffee", help="the program (default: %(default)s)")
    parser.add_argument("--broker", required=True, help="the RabbitMQ's URL")
    parser.add_argument("--broker-pid", type=int, required=True, help="its process, on this machine")
    parser.add_argument("--runs", type=int, default=5, help="counted jobs of each cluster, after one to warm up (default: 5)")
    parser.add_argument("--cluster", nargs=3, action="append", required=True, metavar=("NAME", "UP", "SUBMIT"),
                        help="a cluster: its name, flags of `coffee up` and of `coffee submit`; with NAME+METRICS each node's metrics are fetched once a second")
    parser.add_argument("--stages", action="store_true", help="also prints what each stage costs")
    parsed = parser.parse_args()
    if parsed.runs < 1:
        parser.error("--runs must be at least 1")
    return parsed


def free_ports(count):
    """A port that is free, as are those after it."""
    for first in range(20000, 60000, 100):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            continue
        finally:
            for held in sockets:
                held.close()
    sys.exit("no free ports")


def processor_time(pid):
    """Seconds of a living process, with its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICK


class Cluster:
    def __init__(self, options, name, up, submit, work):
        self.name, self.scraped = name.removesuffix("+METRICS"), name.endswith("+METRICS")
        self.options, self.submit_flags = options, shlex.split(submit)
        self.state, self.out = work / self.name / "state", work / self.name / "results"
        self.metrics = free_ports(100)
        command = [options.coffee, "up", "--name", f"cost-{os.getpid()}-{self.name}", "--state", str(self.state), "--listen", "127.0.0.1:0"]
        if self.scraped or options.stages:
            command += ["--metrics", f"127.0.0.1:{self.metrics}"]
        self.state.mkdir(parents=True)
        environment = {"COFFEE_BROKER": options.broker, "PATH": os.environ.get("PATH", "")}
        self.process = subprocess.Popen(command + shlex.split(up), stdout=subprocess.PIPE, text=True, env=environment)
        watchdog = threading.Timer(READY, self.process.kill)
        watchdog.start()
        self.gateway = self.process.stdout.readline().partition("gateway=")[2].split(",")[0].strip()
        watchdog.cancel()
        if not self.gateway:
            sys.exit(f"{name}: the cluster did not start")

    def nodes(self):
        lines = (self.state / "nodes.tsv").read_text().splitlines()
        return {node: int(pid) for node, pid, *_ in (line.split("\t") for line in lines)}

    def used(self):
        """Processor seconds so far: by node, of `up` itself and of the broker."""
        used = {node: processor_time(pid) for node, pid in self.nodes().items()}
        return used | {"up": processor_time(self.process.pid), "broker": processor_time(self.options.broker_pid)}

    def counters(self):
        """What nodes have counted, by node and name, all loops of a node together."""
        counted = collections.Counter()
        if not (self.scraped or self.options.stages):
            return counted
        for at, node in enumerate(self.nodes()):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics + at}/metrics", timeout=10) as page:
                for line in page.read().decode().splitlines():
                    sample = re.fullmatch(r"coffee_(\w+)_total\{(.*)\} ([0-9.e+]+)", line)
                    if sample:
                        stage = re.search(r'stage="([^"]*)"', sample[2])
                        counted[node, stage[1] if stage else "", sample[1]] += float(sample[3])
        return counted

    def job(self):
        """Runs one: seconds by the clock, processor seconds by node, counts by node."""
        over = threading.Event()

        def scrape():
            while not over.wait(1):
                self.counters()

        scraper = threading.Thread(target=scrape) if self.scraped else None
        if scraper:
            scraper.start()
        used, counted = self.used(), self.counters()
        command = [self.options.coffee, "submit", str(self.options.data), "--gateway", self.gateway, "--out", str(self.out), "--quiet"]
        before, begin = os.times(), time.perf_counter()
        done = subprocess.run(command + self.submit_flags, capture_output=True, text=True, timeout=BOUND)
        took, after = time.perf_counter() - begin, os.times()
        if done.returncode != 0:
            sys.exit(f"{self.name}: {done.stderr}")
        time.sleep(0.3)  # what follows a job's end, as its confirms and commits
        used = {node: now - used.get(node, 0) for node, now in self.used().items()}
        counted = self.counters() - counted
        over.set()
        if scraper:
            scraper.join()
        client = after.children_user + after.children_system - before.children_user - before.children_system
        return took, used | {"client": client}, counted

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=READY)
        except subprocess.TimeoutExpired:
            self.process.kill()


def check(one, other):
    for path in sorted(one.iterdir()):
        if path.read_bytes() != (other / path.name).read_bytes():
            sys.exit(f"{path.name} of {one} and {other} differ")


def rows_of(data):
    """Rows of the largest table, in millions."""
    def rows(table):
        return sum(path.read_bytes().count(b"\n") - 1 for path in table.glob("*.csv"))
    return max(rows(table) for table in data.iterdir() if table.is_dir()) / 1e6


def stage_of(node):
    return re.sub(r"[.-]\d+$", "", node)


def show_stages(name, jobs, rows):
    print(f"\n{name}: a million rows, medians of {len(jobs)} jobs")
    print(f"{'stage':<20}{'CPU s':>8}{'rows in':>12}{'MB in':>8}{'MB out':>8}{'frames out':>12}")
    stages = sorted({stage_of(node) for _, used, _ in jobs for node in used})

    def median(of):
        return statistics.median(of(used, counted) for _, used, counted in jobs) / rows

    for stage in stages:
        cpu = median(lambda used, _: sum(taken for node, taken in used.items() if stage_of(node) == stage))

        def count(what):
            return median(lambda _, counted: sum(number for (node, _, name), number in counted.items() if stage_of(node) == stage and name == what))

        print(f"{stage:<20}{cpu:>8.3f}{count('rows_in'):>12,.0f}{count('bytes_in') / 1e6:>8.1f}{count('bytes_out') / 1e6:>8.1f}{count('frames_out'):>12,.1f}")


def show(clusters, jobs, rows):
    print(f"{'a million rows':<20}{'seconds':>9}{'CPU s':>8}{'nodes':>8}{'broker':>8}{'client':>8}   CPU beside the first, round by round: min, median, max")
    first = next(iter(jobs.values()))
    for name, taken in jobs.items():
        def median(of):
            return statistics.median(map(of, taken)) / rows
        whole = [sum(used.values()) for _, used, _ in taken]
        ratios = sorted(mine / sum(used.values()) for mine, (_, used, _) in zip(whole, first))
        ratio = f"{ratios[0]:.3f} {statistics.median(ratios):.3f} {ratios[-1]:.3f}"
        nodes = median(lambda job: sum(job[1].values()) - job[1]["broker"] - job[1]["client"])
        print(f"{name:<20}{median(lambda job: job[0]):>9.3f}{median(lambda job: sum(job[1].values())):>8.3f}{nodes:>8.3f}"
              f"{median(lambda job: job[1]['broker']):>8.3f}{median(lambda job: job[1]['client']):>8.3f}   {ratio}")
    for cluster in clusters:
        if cluster.options.stages:
            show_stages(cluster.name, jobs[cluster.name], rows)


def main():
    options = arguments()
    rows = rows_of(options.data)
    print(f"{options.data}: {rows:.3f} M rows in its largest table; {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} before the first job")
    with tempfile.TemporaryDirectory(prefix="coffee-cost-") as work:
        work, clusters, jobs = pathlib.Path(work), [], {}
        expected = work / "expected"
        subprocess.run([options.coffee, "run", str(options.data), "--out", str(expected), "--quiet"], check=True, timeout=BOUND)
        try:
            for named in options.cluster:
                clusters.append(Cluster(options, *named, work))
            for number in range(options.runs + 1):
                # In turn from either end: whoever comes first finds the machine as the last one left it.
                for cluster in clusters[:: 1 if number % 2 == 0 else -1]:
                    done = cluster.job()
                    check(expected, cluster.out)
                    if number > 0:
                        jobs.setdefault(cluster.name, []).append(done)
        finally:
            for cluster in clusters:
                cluster.stop()
        show(clusters, {cluster.name: jobs[cluster.name] for cluster in clusters}, rows)


if __name__ == "__main__":
    main()
