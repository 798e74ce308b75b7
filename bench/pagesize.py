"""Which page size: the same workloads on beeftreefs databases of several page sizes, alternately, several rounds.

Rates are noisy on a shared machine; bytes written, pages read and the size of the file are not.
"""

import argparse
import json
import shutil
import statistics
import sys
import time

import compare
import targets as bench

REFERENCE = 16384


def make_steps(quick):
    tree = 3000 if quick else 20000
    listed = 10000 if quick else 100000
    return [
        compare.Step("create", "create", listed),
        compare.Step("stat cold", "stat", listed, cold=True),
        compare.Step("readdir cold", "readdir", listed, cold=True),
        compare.Step("rename", "rename", listed),
        compare.Step("unlink", "unlink", listed),
        compare.Step("unpack", "unpack", tree),
        compare.Step("find cold", "find", tree, cold=True),
        compare.Step("write 4K files", "write-small", tree),
        compare.Step("fsync mix", "fsync-mix", 100 if quick else 1000),
        compare.Step("remove", "remove", tree),
    ]


def bytes_written(target):
    """What the daemon has handed to the disk so far."""
    with open("/proc/%d/io" % target.process.pid) as lines:
        values = dict(line.split(": ") for line in lines)
    return int(values["write_bytes"])


def measure(target, build, step):
    """One step, what it takes until everything is on the disk included in the bytes, not in the time."""
    if step.cold:
        target.remount()
    bench.workload(build, "touch", target.mountpoint)
    target.settle()
    written, cpu, counters = bytes_written(target), target.cpu_seconds(), target.counters()
    line = bench.workload(build, step.name, target.mountpoint, step.count)[0]
    cpu_after, counters_after = target.cpu_seconds(), target.counters()
    target.settle()
    return {
        "rate": line["operations"] / line["seconds"],
        "cpu_us": (cpu_after - cpu) * 1e6 / line["operations"],
        "written": (bytes_written(target) - written) / line["operations"],
        "counters": compare.subtract(counters_after, counters),
        "operations": line["operations"],
        "file_bytes": target.file_bytes(),
    }


def run_round(round_number, sizes, build, steps, directory):
    """A fresh database of each page size; returns {page size: {label: measurement}}."""
    opened, results = {}, {size: {} for size in sizes}
    try:
        for size in sizes:
            opened[size] = bench.Beeftreefs(directory, build, name="page-%d-%d" % (size, round_number), page_size=size)
            opened[size].mount()
        for number, step in enumerate(steps):
            shift = (round_number + number) % len(sizes)
            for size in sizes[shift:] + sizes[:shift]:
                results[size][step.label] = measure(opened[size], build, step)
    finally:
        for target in opened.values():
            target.close()
    return results


def row(label, what, unit, sizes, rounds, value, higher_is_better):
    """One line: medians, and in brackets the median ratio to the reference within each round."""
    line = "%-16s%-12s" % (label, what)
    for size in sizes:
        middle = statistics.median(value(one[size][label]) for one in rounds)
        line += "%12s" % (unit % middle)
        if REFERENCE in sizes:
            ratios = [value(one[size][label]) / value(one[REFERENCE][label]) for one in rounds
                      if value(one[REFERENCE][label])]
            line += " (%s)" % ("%.2f" % statistics.median(ratios) if ratios else "-")
    return line + ("   more is better" if higher_is_better else "   less is better")


def print_table(steps, sizes, rounds):
    print("\n%-16s%-12s" % ("workload", "") + "".join("%19s" % ("%d K" % (size // 1024)) for size in sizes))
    for step in steps:
        print(row(step.label, "/s", "%.0f", sizes, rounds, lambda one: one["rate"], True))
        print(row(step.label, "cpu us", "%.1f", sizes, rounds, lambda one: one["cpu_us"], False))
        if not step.cold:
            print(row(step.label, "B written", "%.0f", sizes, rounds, lambda one: one["written"], False))
        else:
            print(row(step.label, "pages read", "%.0f", sizes, rounds,
                      lambda one: one["counters"].get("store.page_reads", 0), False))
            print(row(step.label, "KiB read", "%.0f", sizes, rounds,
                      lambda one: one["counters"].get("store.page_reads", 0) * one["page_size"] / 1024, False))
    print(row("write 4K files", "file MiB", "%.1f", sizes, rounds, lambda one: one["file_bytes"] / (1 << 20), False))


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/pagesize", description="Compares page sizes on mounts; needs root.")
    parser.add_argument("--quick", action="store_true", help="small sizes: a few minutes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="4096,8192,16384,32768")
    parser.add_argument("--json", metavar="FILE", help="everything measured, as JSON")
    parser.add_argument("--build", help="build directory (default: $BEEFTREE_BUILD or build/release)")
    return parser.parse_args()


def main():
    options = parse_arguments()
    sizes = [int(size) for size in options.sizes.split(",")]
    steps = make_steps(options.quick)
    directory = bench.scratch_directory()
    rounds = []
    try:
        bench.need_root()
        build = bench.find_build(options.build)
        for round_number in range(options.rounds):
            started = time.monotonic()
            rounds.append(run_round(round_number, sizes, build, steps, directory))
            for size in sizes:
                for measurement in rounds[-1][size].values():
                    measurement["page_size"] = size
            print("round %d of %d: %.0f s" % (round_number + 1, options.rounds, time.monotonic() - started), flush=True)
    except bench.BenchError as error:
        print("bench/pagesize: %s" % error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print_table(steps, sizes, rounds)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rounds, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
