"""What reaches the disk for what a program has written: bytes per byte of user data, until everything is durable.

    bench/written --quick               smaller sizes, within a minute

Both sides have a disk of their own, a loop device with direct I/O, and its counters say what arrived there: ext4 on the
one; beeftreefs on the other, its database the only file of an ext4, so that what the host's filesystem adds is in the
number, too. Each step begins on a filesystem just mounted and counts up to a sync ("synced") and up to the end of an
unmount ("unmounted": what lies in a journal or log has reached its place). Counts, not rates: nothing jitters.

    user            bytes that the program has written, per file or call
    disk            bytes that arrived at the disk per byte of user data (of empty files: per file)
    flushes         flush requests at the disk, in all
    process         what the daemon has written, from /proc/PID/io, in the unit of "disk". Only an upper bound: the
                    kernel counts the whole of the folio that a write makes dirty, on ext4 up to 2 MiB for 4 KiB
    counted         the same from the daemon's own counters until "synced"; and what of it are pages, map nodes,
                    contents, and the rest: log and superblocks
"""

import argparse
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare  # noqa: E402
import disks  # noqa: E402
import targets as bench  # noqa: E402

BLOCK = 4096


class Step:
    """A workload that is counted, and those that make its files before."""

    def __init__(self, label, name, count, size=BLOCK, before=()):
        self.label, self.name, self.count, self.size, self.before = label, name, count, size, before


def make_steps(quick):
    tree = 3000 if quick else 20000
    files = 10000 if quick else 100000
    large = (128 if quick else 1024) << 20
    writes = 5000 if quick else 50000
    make_large = (("write-sequential", 1, large),)
    return [
        Step("unpack %d files" % tree, "unpack", tree),
        Step("create %d empty files" % files, "create", files),
        Step("create %d files of 1 KiB" % files, "write-sized", files, 1024),
        Step("write %d MiB in sequence" % (large >> 20), "write-sequential", 1, large),
        Step("overwrite 4 KiB %d times" % writes, "write-random", writes, before=make_large),
        Step("the same, fsync each 100", "write-random-synced", writes, before=make_large),
    ]


def measure(target, build, step):
    target.mount()
    for name, count, size in step.before:
        bench.workload(build, name, target.mountpoint, count, size)
    if step.before:
        target.settle()
        target.unmount()
        target.mount()
    bench.workload(build, "touch", target.mountpoint)
    target.settle()
    before = target.counters()
    line = bench.workload(build, step.name, target.mountpoint, step.count, step.size)[-1]
    target.settle()
    synced = target.counters()
    page_size = target.status()["state"]["page_size"] if isinstance(target, disks.Beeftreefs) else None
    target.unmount_all()
    unmounted = target.counters()
    return {"label": step.label, "target": target.name, "operations": line["operations"], "bytes": line["bytes"],
            "page_size": page_size, "synced": compare.subtract(synced, before),
            "unmounted": {name: value - before[name] for name, value in unmounted.items()}}


def counted(result):
    """Bytes by kind, from the daemon's counters."""
    counters = result["synced"]
    if "store.bytes_written" not in counters:
        return {}
    kinds = {"counted": counters["store.bytes_written"],
             "pages": counters["store.page_writes"] * result["page_size"],
             "nodes": counters["store.node_writes"] * BLOCK,
             "contents": counters["store.content_blocks_written"] * BLOCK}
    kinds["log"] = kinds["counted"] - kinds["pages"] - kinds["nodes"] - kinds["contents"]
    return kinds


COLUMNS = ("user", "disk synced", "unmounted", "flushes", "process", "unmounted", "counted", "log", "pages", "nodes",
           "contents")


def print_row(result):
    unit = result["bytes"] or result["operations"]
    kinds = counted(result)

    def share(part, name):
        return compare.show(part.get(name) / unit if name in part else None, "%.2f" if result["bytes"] else "%.0f")

    values = ["%.0f" % (result["bytes"] / result["operations"]), share(result["synced"], "disk.bytes"),
              share(result["unmounted"], "disk.bytes"), "%d" % result["synced"]["disk.flushes"],
              share(result["synced"], "process.bytes"), share(result["unmounted"], "process.bytes")]
    values += [share(kinds, name) for name in COLUMNS[6:]]
    print("%-28s%-11s" % (result["label"], result["target"]) + "".join("%12s" % value for value in values), flush=True)


def make_target(name, directory, options, build):
    disk = disks.Loop(os.path.join(directory, name + "-disk"), build, options.disk_mib)
    if name == "beeftreefs":
        return disks.Beeftreefs(directory, build, disk, options=options.options)
    return disks.Ext4(directory, disk)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/written", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, within a minute")
    parser.add_argument("--only", metavar="TEXT,...", help="only steps whose label begins with one of these texts")
    parser.add_argument("--options", help="mount options for beeftreefs")
    parser.add_argument("--disk-mib", type=int, help="size of the disks")
    parser.add_argument("--json", metavar="FILE", help="everything measured, as JSON")
    parser.add_argument("--build", help="build directory (default: $BEEFTREE_BUILD or build/release)")
    options = parser.parse_args()
    options.disk_mib = options.disk_mib or (768 if options.quick else 4096)
    return options


def run_steps(options, build, directory):
    print("%-39s" % "" + "".join("%12s" % column for column in COLUMNS))
    results = []
    for step in make_steps(options.quick):
        if options.only and not any(step.label.startswith(text) for text in options.only.split(",")):
            continue
        for name in ("beeftreefs", "ext4"):
            target = make_target(name, directory, options, build)
            try:
                results.append(measure(target, build, step))
            finally:
                target.close()
            print_row(results[-1])
    return results


def main():
    options = parse_arguments()
    directory = None
    try:
        bench.need_root()
        build = bench.find_build(options.build)
        directory = bench.scratch_directory()
        results = run_steps(options, build, directory)
    except bench.BenchError as error:
        print("bench/written: %s" % error, file=sys.stderr)
        return 1
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
