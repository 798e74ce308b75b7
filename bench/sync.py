"""Sync rates: how often a second a program can make something durable, alone and with others; and what each costs.

    bench/sync --quick                  within a minute
    bench/sync --flush-us 1000          on disks whose flush takes 1 ms: the virtual disk below may well answer at once
    bench/sync --options sync           mount options for beeftreefs

Targets (--targets), all run alternately in one go, several rounds; the table has medians of rates, and in "/ext4" and
"/host" medians of the ratios to these within each round:

    beeftreefs      database on the host's filesystem
    host            the host's filesystem itself: what is left is FUSE, and one file for everything
    floor           floor_server: FUSE without anything behind it; its fsync is a request and nothing else
    nested          beeftreefs, its database the only file of an ext4 on a loop device: counts what reaches that disk
    ext4            ext4 on a loop device with direct I/O, written in full beforehand
    ext4-buffered   the same without direct I/O, as bench/run has it

One operation is one acknowledged sync, see sync_load.c. Columns: p50 and p99 of one operation; "syncs" are fdatasync
calls of the daemon (its own counter), "written" what it wrote into the database (the same), "process" what
/proc/PID/io says (an upper bound: the kernel counts whole folios, on ext4 up to 2 MiB for 4 KiB); "disk" and "flushes"
come from the loop device: bytes and flush requests that reached it, the filesystem on it included. All per operation.
After the table: the floor, write and fdatasync on the host with nothing in between.

Every round begins with a new database, and nothing is removed before its end: contents go to blocks that were never
written, where a sync may cost the host's filesystem a commit of its own journal. With --reuse files are removed after
each load and the database stays: contents go to blocks that were written before.

One waiting process is late by whole scheduler ticks (4 ms) when others keep the processors busy: measure in a quiet
moment.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare  # noqa: E402
import disks  # noqa: E402
import targets as bench  # noqa: E402

FLOORS = ("place", "fallocated", "growing")
REFERENCES = ("ext4", "host")  # every target's rate is compared with theirs
LABELS = {"create": "4K create+fsync", "append": "512B append+fdatasync", "overwrite": "4K overwrite+fdatasync"}
PER_OPERATION = {"syncs": "store.syncs", "written": "store.bytes_written", "process": "process.bytes",
                 "disk": "disk.bytes", "flushes": "disk.flushes"}


def load(build, target, name, writers, duration_ms, keep=False):
    """One load: its JSON line, with rate, counters and CPU time of the server."""
    directory = os.path.join(target.mountpoint, "load-%s-%d" % (name, writers))
    os.mkdir(directory)
    target.settle()
    command = [os.path.join(build, "bench", "sync_load"), name, directory, str(writers), str(duration_ms)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        process.wait()
        raise bench.BenchError("sync_load %s on %s: it ended early" % (name, target.name))
    before, cpu = target.counters(), target.cpu_seconds()
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline()
    after, cpu_after = target.counters(), target.cpu_seconds()
    if process.wait() != 0 or not line:
        raise bench.BenchError("sync_load %s on %s: status %d" % (name, target.name, process.returncode))
    result = json.loads(line)
    result["rate"] = result["operations"] / result["seconds"]
    result["counters"] = compare.subtract(after, before)
    result["cpu_us"] = (cpu_after - cpu) * 1e6 / result["operations"] if cpu is not None else None
    if not keep:
        shutil.rmtree(directory)
    target.settle()
    return result


def renew(target):
    """The state in which a round begins: empty, and a database is a new one."""
    for name in os.listdir(target.mountpoint):
        if name.startswith("load-"):
            shutil.rmtree(os.path.join(target.mountpoint, name))
    if isinstance(target, disks.Beeftreefs):
        target.unmount()
        os.unlink(target.database)
        target.mount()
    target.settle()


def run_rounds(chosen, build, steps, options, floor):
    """([{target name: {step: measurement}}], [[measurement of the floor]]), one of each per round; which target begins
    changes with every step and round."""
    results, floors = [], []
    for round_number in range(options.rounds):
        results.append({target.name: {} for target in chosen})
        started = time.monotonic()
        if floor is not None:
            floors.append(measure_floor(floor, build, options.duration_ms // 2))
        for number, step in enumerate(steps):
            shift = (round_number + number) % len(chosen)
            for target in chosen[shift:] + chosen[:shift]:
                results[-1][target.name][step] = load(build, target, *step, options.duration_ms, not options.reuse)
        for target in chosen if not options.reuse else ():
            renew(target)
        print("round %d of %d: %.0f s, load average %.1f"
              % (round_number + 1, options.rounds, time.monotonic() - started, os.getloadavg()[0]), flush=True)
    return results, floors


def summarize(results, names, steps):
    rows = []
    for step in steps:
        for name in names:
            measured = [result[name][step] for result in results]
            row = {"step": step, "target": name}
            for key in ("rate", "p50_us", "p99_us", "cpu_us"):
                row[key] = compare.median(one[key] for one in measured)
            for other in REFERENCES:
                row[other] = compare.median(
                    result[name][step]["rate"] / result[other][step]["rate"] if other in names else None
                    for result in results)
            for column, counter in PER_OPERATION.items():
                row[column] = compare.median(
                    one["counters"][counter] / one["operations"] if counter in one["counters"] else None
                    for one in measured)
            row["requests"] = compare.median(compare.of_request(one) for one in measured)
            rows.append(row)
    return rows


def print_table(rows):
    columns = [("rate", "/s", "%.0f"), ("ext4", "/ext4", "%.2f"), ("host", "/host", "%.2f"),
               ("p50_us", "p50 us", "%.0f"), ("p99_us", "p99 us", "%.0f"), ("cpu_us", "cpu us", "%.0f"),
               ("requests", "requests", "%.2f"),
               ("syncs", "syncs", "%.3f"), ("written", "written", "%.0f"), ("process", "process", "%.0f"),
               ("disk", "disk", "%.0f"), ("flushes", "flushes", "%.3f")]
    previous = None
    for row in rows:
        name, writers = row["step"]
        if row["step"] != previous:
            print("\n%s, %d writer%s" % (LABELS.get(name, name), writers, "" if writers == 1 else "s"))
            print("%-14s" % "" + "".join("%11s" % head for _, head, _ in columns))
            previous = row["step"]
        print("%-14s" % row["target"] + "".join("%11s" % compare.show(row[key], form) for key, _, form in columns))


def measure_floor(target, build, duration_ms):
    return [load(build, target, name, writers, duration_ms) for name in FLOORS for writers in (1, 8)]


def print_floor(rounds):
    print("\nfloor: 4K write+fdatasync on the host\n%-24s%11s%11s%11s" % ("", "/s", "p50 us", "p99 us"))
    for lines in zip(*rounds):
        values = tuple(compare.median(line[key] for line in lines) for key in ("rate", "p50_us", "p99_us"))
        title = "%s, %d writer%s" % (lines[0]["workload"], lines[0]["writers"], "s" if lines[0]["writers"] > 1 else "")
        print("%-24s%11.0f%11.0f%11.0f" % ((title,) + values))


def open_targets(names, directory, options, build):
    mount_options = options.options

    def disk(name, direct=True):
        return disks.Loop(os.path.join(directory, name + "-disk"), build, options.disk_mib, direct, options.flush_us)

    makers = {
        "beeftreefs": lambda: disks.Beeftreefs(directory, build, options=mount_options),
        "host": lambda: disks.Host("host", directory),
        "floor": lambda: bench.Floor(directory, build),
        "nested": lambda: disks.Beeftreefs(directory, build, disk("nested"), "nested", mount_options),
        "ext4": lambda: disks.Ext4(directory, disk("ext4"), "ext4"),
        "ext4-buffered": lambda: disks.Ext4(directory, disk("ext4-buffered", False), "ext4-buffered"),
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


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/sync", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="within a minute")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--duration-ms", type=int, help="of one load")
    parser.add_argument("--writers", default="1,8", help="how many at once")
    parser.add_argument("--loads", default="create,append")
    parser.add_argument("--reuse", action="store_true", help="remove files after each load, keep the database")
    parser.add_argument("--flush-us", type=int, help="loop devices on a disk whose flush takes so long")
    parser.add_argument("--targets", help="which, separated by commas; \"/ext4\" and \"/host\" need those")
    parser.add_argument("--options", help="mount options for beeftreefs")
    parser.add_argument("--disk-mib", type=int, default=1024, help="size of the loop devices")
    parser.add_argument("--json", metavar="FILE", help="everything measured, as JSON")
    parser.add_argument("--build", help="build directory (default: $BEEFTREE_BUILD or build/release)")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.duration_ms = options.duration_ms or (400 if options.quick else 2000)
    if options.targets is None:
        options.targets = "nested,ext4" if options.flush_us else "beeftreefs,host,floor,nested,ext4,ext4-buffered"
    return options


def main():
    options = parse_arguments()
    names = options.targets.split(",")
    steps = [(name, int(writers)) for name in options.loads.split(",") for writers in options.writers.split(",")]
    directory, chosen = None, []
    try:
        bench.need_root()
        build = bench.find_build(options.build)
        directory = bench.scratch_directory()
        floor = disks.Host("host-floor", directory) if options.flush_us is None else None
        try:
            chosen = open_targets(names, directory, options, build)
            results, floors = run_rounds(chosen, build, steps, options, floor)
        finally:
            for target in chosen:
                target.close()
    except bench.BenchError as error:
        print("bench/sync: %s" % error, file=sys.stderr)
        return 1
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
    rows = summarize(results, names, steps)
    print_table(rows)
    if floors:
        print_floor(floors)
    if options.json:
        everything = {"floor": floors, "rows": rows, "rounds": [
            {name: {"%s %d" % step: value for step, value in of_target.items()} for name, of_target in result.items()}
            for result in results]}
        with open(options.json, "w") as file:
            json.dump(everything, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
