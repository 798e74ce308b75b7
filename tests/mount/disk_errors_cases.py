"""disk_errors_cases.py SCRATCH: every kind of call on the database fails in turn, at every place of a fixed workload: in a new
database, while one is opened, while one that a killed daemon left is recovered, and while it is mounted. BEEFTREE_SEED replays the choice; a long run leaves nothing out.

Whatever fails: the operation says so or succeeds, the daemon lives, reads go on, a failed write or sync ends all changes
and says why, and what was acknowledged is there after the next mount, in a database that checks clean.
"""

import collections
import os
import random
import shutil

import disk_errors_load as load
import mounts
from disk_errors import CALLS, Disk
from mounts import Failed, Mount, note

CASES_SHORT = 200
FINAL = ("write", "sync")  # what is never retried and called good
Case = collections.namedtuple("Case", "phase call error nth lasting short")


def describe(case):
    return "%s: %s %d fails with %s%s%s" % (case.phase, case.call, case.nth, case.error,
                                          ", and all after it" if case.lasting else "",
                                          ", after half of its bytes" if case.short else "")


class Bench:
    """Where the cases run: a database, its mount, and the image that they start from."""

    def __init__(self, scratch):
        self.database = os.path.join(scratch, "db.bt")
        self.image = os.path.join(scratch, "image.bt")
        self.killed_image = os.path.join(scratch, "killed.bt")
        self.disk = Disk(self.database)
        self.mount = Mount(self.database, os.path.join(scratch, "mnt"), environment=self.disk.environment)

    def remove(self):
        if os.path.exists(self.database):
            os.unlink(self.database)

    def restore(self, image):
        self.remove()
        shutil.copyfile(image, self.database)

    def make_image(self):
        self.mount.start()
        self.state = load.fill(self.mount.point)
        if self.mount.stop() != 0:
            raise Failed("the first unmount: %s" % self.mount.log_tail())
        shutil.copyfile(self.database, self.image)
        self.mount.start()
        record = self.record(Case("mounted", None, None, 0, False, False))
        load.work(record)
        self.mount.kill()
        shutil.copyfile(self.database, self.killed_image)
        self.mount.start()
        self.killed_state = load.observe(self.mount.point)
        load.matching_state(record, self.killed_state)
        self.mount.stop()

    def record(self, case):
        allowed = load.failing_errors(case.error, "EROFS") if case.call in CALLS else set()
        return load.Record(self.mount.point, self.state, allowed)


def expect_read_only(bench, record, log_offset):
    """After a write or sync that failed: no change any more, and the reason can be found."""
    mount = bench.mount

    def is_read_only():
        return mount.state()["read_only"]

    mounts.wait_until(is_read_only, "turning read-only")
    failure = mount.state()["failure"]
    if not failure:
        raise Failed("read-only, and status does not say why")
    for what, call in (("mkdir", lambda: os.mkdir(record.path("later"))),
                       ("unlink", lambda: os.unlink(record.path("old/f003"))),
                       ("truncate", lambda: os.truncate(record.path("old/f004"), 1))):
        try:
            call()
        except OSError as error:
            if error.errno not in load.failing_errors("EROFS"):
                raise Failed("%s on a filesystem that has turned read-only: %s" % (what, error)) from error
        else:
            raise Failed("%s succeeds on a filesystem that has turned read-only" % what)
    if failure not in mount.log(log_offset):
        raise Failed("the log does not say \"%s\"" % failure)


def expect_usable(record):
    """After anything else: changes go on."""
    record.mkdir("later")
    if not record.has("later"):
        raise Failed("mkdir still fails: %s" % (record.errors[-1],))
    record.sync_directory("later")


def after_stop(bench, record, saved):
    """The state of the file: clean, and what it has to be; mounted again without any fault."""
    bench.disk.disarm()
    mounts.expect_clean(bench.database, "before the next mount")
    bench.mount.start()
    number = load.matching_state(record, load.observe(bench.mount.point))
    if saved and load.difference(record.states[-1], record.states[number]):
        raise Failed("unmounted well, but state %d of %d is there" % (number, len(record.states) - 1))
    if bench.mount.stop() != 0:
        raise Failed("the last unmount: %s" % bench.mount.log_tail())
    mounts.expect_clean(bench.database, "at the end")


def run_mounted(bench, case, record):
    """The workload and the unmount; the mount is there."""
    mount, disk = bench.mount, bench.disk
    log_offset = mount.log_size()
    load.work(record)
    if not mount.is_alive():
        raise Failed("the daemon has ended")
    fired = disk.failed()
    if case.call not in FINAL:
        disk.disarm()
        record.allowed = set()
    # New space is written with zeros; when that fails the file has not grown, and nothing is lost.
    if fired and fired == disk.failed_zeros():
        record.do("mkdir", lambda: os.mkdir(record.path("probe")), lambda state, _: state.update({"probe": None}))
        record.sync_directory("")
        is_final = mount.state()["read_only"]
    else:
        is_final = fired and case.call in FINAL
    if is_final:
        expect_read_only(bench, record, log_offset)
    elif case.call not in FINAL:
        expect_usable(record)
    found = load.difference(record.states[-1], load.observe(mount.point))
    if found:
        raise Failed("before the unmount: %s" % found)
    if case.call == "truncate":
        disk.arm(case.call, case.error, case.nth, case.lasting)  # only the end of a mount makes the file shorter
    status = mount.stop()
    fired = fired or disk.failed()
    failed = disk.failed() > disk.failed_zeros() and case.call in FINAL + ("truncate",)
    if (status != 0) != failed and disk.failed_zeros() == 0:
        raise Failed("the daemon ends with status %d: %s" % (status, mount.log_tail()))
    after_stop(bench, record, status == 0)
    return fired


def run_case(bench, case):
    """Whether the failure came about."""
    mount, disk = bench.mount, bench.disk
    log_offset = mount.log_size()
    if case.phase == "format":
        bench.remove()
    else:
        bench.restore(bench.killed_image if case.phase == "recover" else bench.image)
    if case.phase == "mounted":
        mount.start()
        disk.arm(case.call, case.error, case.nth, case.lasting, case.short)
        return run_mounted(bench, case, bench.record(case)) > 0
    disk.arm(case.call, case.error, case.nth, case.lasting, case.short)
    if mount.try_start():
        fired = disk.failed() > 0
        disk.disarm()
        mount.stop()
    else:
        fired = True
        lines = mount.log(log_offset).splitlines()
        if mount.status == 0 or not lines or not all(line.startswith("beeftreefs: ") for line in lines):
            raise Failed("refused with status %d and %s" % (mount.status, lines))
        disk.disarm()
    if case.phase == "format":
        expect_no_remains(bench)
    else:
        state = bench.killed_state if case.phase == "recover" else bench.state
        after_stop(bench, load.Record(mount.point, state, set()), False)
    return fired


def expect_no_remains(bench):
    """What was made is whole, or not there at all; then it can be made again."""
    if os.path.exists(bench.database):
        mounts.expect_clean(bench.database, "a new database")
    bench.mount.start()
    os.mkdir(os.path.join(bench.mount.point, "new"))
    if bench.mount.stop() != 0:
        raise Failed("the first unmount of a new database: %s" % bench.mount.log_tail())
    mounts.expect_clean(bench.database, "a new database")


def count_calls(bench):
    """How many calls of each kind there are in each phase, found by runs in which nothing fails."""
    counts = {}
    disk, mount = bench.disk, bench.mount

    def take(phase, before):
        for call in CALLS:
            counts[phase, call] = disk.count(call) - before[call]

    before = {call: disk.count(call) for call in CALLS}
    bench.remove()
    mount.start()
    take("format", before)
    mount.stop()
    bench.restore(bench.killed_image)
    before = {call: disk.count(call) for call in CALLS}
    mount.start()
    take("recover", before)
    mount.stop()
    bench.restore(bench.image)
    before = {call: disk.count(call) for call in CALLS}
    mount.start()
    take("open", before)
    before = {call: disk.count(call) for call in CALLS}
    load.work(bench.record(Case("mounted", None, None, 0, False, False)))
    if mount.stop() != 0:
        raise Failed("unmount: %s" % mount.log_tail())
    take("mounted", before)
    note("calls: " + ", ".join("%s %s %d" % (phase, call, count) for (phase, call), count in sorted(counts.items())))
    for call in ("read", "write", "sync", "allocate", "truncate"):
        if sum(counts[phase, call] for phase in ("format", "open", "recover", "mounted")) == 0:
            raise Failed("no %s in the workload: nothing would be tested" % call)
    return counts


def all_cases(counts):
    cases = []
    for (phase, call), count in sorted(counts.items()):
        for error in ("EIO",) if call == "read" else ("EIO", "ENOSPC"):
            for lasting in (False, True):
                for short in (False, True) if call == "write" and error == "ENOSPC" else (False,):
                    # One more than there were: the runs are not alike to the last call.
                    cases += [Case(phase, call, error, nth, lasting, short) for nth in range(1, count + 2)
                              if count > 0]
    return cases


def choose(cases, generator):
    """All in a long run; else a choice in which no kind of failure is missing."""
    if mounts.LONG:
        return cases
    generator.shuffle(cases)
    kinds, first, rest = set(), [], []
    for case in cases:
        kind = case._replace(nth=0)
        (rest if kind in kinds or case.nth > 20 and case.phase != "mounted" else first).append(case)
        kinds.add(kind)
    return first + rest[:max(0, CASES_SHORT - len(first))]


def main(scratch):
    generator = random.Random(mounts.seed_of_test())
    bench = Bench(scratch)
    bench.make_image()
    counts = count_calls(bench)
    cases = all_cases(counts)
    total = len(cases)
    fired = collections.Counter()
    chosen = choose(cases, generator)
    for case in chosen:
        try:
            if run_case(bench, case):
                fired[case.call] += 1
        except Failed as failed:
            raise Failed("%s: %s\n%s" % (describe(case), failed, bench.mount.log_tail())) from failed
    note("%d of %d cases, in which failed: %s" % (len(chosen), total, dict(sorted(fired.items()))))


mounts.run(main)
