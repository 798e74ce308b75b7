"""Benchmarks: beeftreefs against ext4 and against the floor server. See bench/README.md for how to read the table.

All targets run alternately in one go, several rounds; the table has the medians of rates, and medians of the ratios
within each round (a noisy neighbour slows both sides of a ratio).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import targets as bench  # noqa: E402


class Step:
    """One measured workload: remount first if cold. label names it in the table; what it is called in the output of
    the workload program may differ."""

    def __init__(self, label, name, count, size=4096, cold=False):
        self.label, self.name, self.count, self.size, self.cold = label, name, count, size, cold


def make_steps(quick):
    files = 5000 if quick else 20000
    listed = 10000 if quick else 100000
    large = (256 if quick else 2048) << 20
    small_io = 10000 if quick else 50000
    tree = 2000 if quick else 20000
    return [
        Step("create", "create", listed),
        Step("stat cold", "stat", listed, cold=True),
        Step("stat again", "stat", listed),
        Step("readdir cold", "readdir", listed, cold=True),
        Step("readdir again", "readdir", listed),
        Step("rename", "rename", listed),
        Step("unlink", "unlink", listed),
        Step("mkdir", "mkdir", files),
        Step("rmdir", "rmdir", files),
        Step("write 4K files", "write-small", files),
        Step("read 4K files cold", "read-small", files, cold=True),
        Step("read 4K files again", "read-small", files),
        Step("remove 4K files", "unlink-small", files),
        Step("sequential write", "write-sequential", 1, large),
        Step("sequential read cold", "read-sequential", 1, large, cold=True),
        Step("sequential read again", "read-sequential", 1, large),
        Step("random write 4K", "write-random", small_io),
        Step("random read 4K cold", "read-random", small_io, cold=True),
        Step("unpack tree", "unpack", tree),
        Step("find cold", "find", tree, cold=True),
        Step("find again", "find", tree),
        Step("remove tree", "remove", tree),
        Step("fsync mix", "fsync-mix", 100 if quick else 1000),
    ]


def subtract(after, before):
    return {name: value - before.get(name, 0) for name, value in after.items()}


def measure(target, build, step):
    """Runs one step on one target; returns {label: measurement}."""
    if step.cold:
        target.remount()
    bench.workload(build, "touch", target.mountpoint)
    if step.name == "write-sequential":
        large = os.path.join(target.mountpoint, "large")
        if os.path.exists(large):
            os.unlink(large)
    target.settle()
    counters, cpu = target.counters(), target.cpu_seconds()
    lines = bench.workload(build, step.name, target.mountpoint, step.count, step.size)
    cpu_after, counters_after = target.cpu_seconds(), target.counters()
    result = {}
    for line in lines:
        label = step.label + line["workload"][len(step.name):]
        result[label] = dict(line, rate=line["operations"] / line["seconds"])
    result[step.label]["counters"] = subtract(counters_after, counters)
    if cpu is not None:
        result[step.label]["cpu_us"] = (cpu_after - cpu) * 1e6 / lines[0]["operations"]
    target.settle()
    return result


def run_rounds(chosen, build, steps, rounds):
    """[{target name: {label: measurement}}], one per round. Which target begins changes with every step and round."""
    results = []
    for round_number in range(rounds):
        results.append({target.name: {} for target in chosen})
        started = time.monotonic()
        for number, step in enumerate(steps):
            shift = (round_number + number) % len(chosen)
            for target in chosen[shift:] + chosen[:shift]:
                results[-1][target.name].update(measure(target, build, step))
        for target in chosen:
            leftovers = [os.path.join(target.mountpoint, name) for name in ("files", "large", "touched")]
            for path in filter(os.path.exists, leftovers):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            target.settle()
        print("round %d of %d: %.0f s" % (round_number + 1, rounds, time.monotonic() - started), flush=True)
    return results


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def show(value, pattern):
    return "-" if value is None else pattern % value


# The sum of the others, and what reading the counters and looking after mounts cause.
NOT_COUNTED = ("requests.total", "requests.ioctl", "requests.statfs")


def of_request(measurement):
    """Requests per operation, from the server's own counters."""
    counted = [value for name, value in measurement.get("counters", {}).items()
               if name.startswith("requests.") and name.lower() not in NOT_COUNTED]
    return sum(counted) / measurement["operations"] if counted else None


def summarize(results, names):
    """One row per label: medians and median ratios."""
    rows = []
    for label in results[0][names[0]]:
        row = {"label": label, "rate": {}, "cpu_us": {}, "requests": {}, "ratio": {}}
        for name in names:
            measured = [result[name][label] for result in results]
            row["rate"][name] = median(one["rate"] for one in measured)
            row["bytes"] = measured[0]["bytes"]
            row["operations"] = measured[0]["operations"]
            row["cpu_us"][name] = median(one.get("cpu_us") for one in measured)
            row["requests"][name] = median(of_request(one) for one in measured)
        for other in names[1:]:
            row["ratio"][other] = median(
                result[names[0]][label]["rate"] / result[other][label]["rate"] for result in results)
        rows.append(row)
    return rows


def print_table(rows, names):
    header = "%-28s" % "workload"
    header += "".join("%13s" % (name + "/s") for name in names)
    header += "".join("%10s" % ("/" + name) for name in names[1:])
    servers = [name for name in names if name != "ext4"]
    header += "".join("%11s" % ("req " + name[:5]) for name in servers)
    header += "".join("%10s" % ("cpu " + name[:5]) for name in servers)
    print(header)
    for row in rows:
        line = "%-28s" % row["label"]
        line += "".join("%13s" % show(row["rate"][name], "%.0f") for name in names)
        line += "".join("%10s" % show(row["ratio"][name], "%.2f") for name in names[1:])
        line += "".join("%11s" % show(row["requests"][name], "%.2f") for name in servers)
        line += "".join("%10s" % show(row["cpu_us"][name], "%.1f") for name in servers)
        print(line)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description="Benchmarks on a mount; needs root. See bench/README.md.")
    parser.add_argument("--quick", action="store_true", help="small sizes: within about five minutes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="everything measured, as JSON")
    parser.add_argument("--build", help="build directory (default: $BEEFTREE_BUILD or build/release)")
    parser.add_argument("--targets", default="beeftreefs,floor,ext4", help="which, the first is compared with the rest")
    parser.add_argument("--only", metavar="TEXT,...",
                        help="only steps whose label begins with one of these texts (with those that make their files)")
    parser.add_argument("--no-engine", action="store_true", help="leave out the comparison with LMDB and SQLite")
    parser.add_argument("--no-mount", action="store_true", help="only the comparison with LMDB and SQLite")
    return parser.parse_args()


def open_targets(names, directory, build, quick):
    makers = {
        "beeftreefs": lambda: bench.Beeftreefs(directory, build),
        "floor": lambda: bench.Floor(directory, build),
        "ext4": lambda: bench.Ext4(directory, 4096 if quick else 16384),
    }
    opened = []
    try:
        for name in names:
            opened.append(makers[name]())
            opened[-1].mount()
    except BaseException:
        for target in opened:
            target.close()
        raise
    return opened


def run_mounts(options, build):
    names = options.targets.split(",")
    steps = [step for step in make_steps(options.quick)
             if options.only is None or any(step.label.startswith(text) for text in options.only.split(","))]
    directory = bench.scratch_directory()
    chosen = []
    try:
        chosen = open_targets(names, directory, build, options.quick)
        results = run_rounds(chosen, build, steps, options.rounds)
    finally:
        for target in chosen:
            target.close()
        shutil.rmtree(directory, ignore_errors=True)
    rows = summarize(results, names)
    print()
    print_table(rows, names)
    return {"rows": rows, "rounds": results}


def run_engine(options, build):
    program = os.path.join(build, "bench", "engine")
    if not os.path.exists(program):
        print("engine comparison left out: %s is not there (it needs liblmdb-dev and libsqlite3-dev)" % program)
        return None
    directory = bench.scratch_directory()
    try:
        count = 100000 if options.quick else 1000000
        command = [program, directory, str(count), str(3 if options.quick else 5)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if output.returncode != 0:
        raise bench.BenchError("%s: status %d" % (program, output.returncode))
    measured = [json.loads(line) for line in output.stdout.splitlines()]
    print()
    print_engine(measured)
    return measured


def print_engine(measured):
    engines = list(dict.fromkeys(line["engine"] for line in measured))
    steps = list(dict.fromkeys(line["step"] for line in measured))
    units = {"sync": "sync (ms)", "file": "file (MiB)", "file after deletes": "after deletes (MiB)"}
    print("engine, 1000 operations/s")
    print("%-22s" % "step" + "".join("%20s" % engine for engine in engines))
    for step in steps:
        line = "%-22s" % units.get(step, step)
        for engine in engines:
            values = [one for one in measured if one["engine"] == engine and one["step"] == step]
            if "bytes" in values[0]:
                line += "%20.1f" % (median(one["bytes"] for one in values) / (1 << 20))
            elif step == "sync":
                line += "%20.1f" % (median(one["seconds"] for one in values) * 1000)
            else:
                line += "%20.0f" % median(one["operations"] / one["seconds"] / 1000 for one in values)
        print(line)


def main():
    options = parse_arguments()
    try:
        build = bench.find_build(options.build)
        everything = {"quick": options.quick}
        if not options.no_mount:
            bench.need_root()
            everything["mounts"] = run_mounts(options, build)
        if not options.no_engine:
            everything["engine"] = run_engine(options, build)
    except bench.BenchError as error:
        print("bench/run: %s" % error, file=sys.stderr)
        return 1
    if options.json:
        with open(options.json, "w") as file:
            json.dump(everything, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
