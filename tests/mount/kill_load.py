"""kill_load.py SCRATCH [ROUNDS]: the daemon is killed again and again under a mixed load of several processes (kill_workers.py), at
random moments, also while it recovers. BEEFTREE_SEED replays moments and load.

Each process notes outside the mount when each of its system calls began and when it had returned. From that follows what
has to be there after a kill:

  - every directory is in the state after a prefix of what its process did;
  - that prefix holds everything that had returned when any acknowledged sync of any process began;
  - the prefixes fit together: what had returned before something else began is there if that is there.

Every state has to check clean: the file as the killed daemon left it, and as the next one made it.
"""

import collections
import copy
import errno
import os
import random
import shutil
import signal
import statistics
import struct
import sys
import time

import mounts
from kill_workers import PAGE, PLANS, SYNCS, World, Node, observe, perform, same, touched
from mounts import Failed, Mount, note

RECORD = struct.Struct("<QQ")
ROUNDS = 300 if mounts.LONG else 12
ROUNDS_OF_A_DATABASE = 60  # then a new one, with other pages
DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENXIO, errno.ENODEV)
LOAD_S = (0.1, 1.6)


class Worker:
    """One process, its directory, and the model of what is in it."""

    def __init__(self, name, scratch):
        self.name = name
        self.plan = PLANS[name]
        self.world = World()
        self.ledger = os.path.join(scratch, "ledger-" + name)
        self.pid = None
        self.seed = None

    def start(self, point, seed, tag):
        self.seed, self.tag = seed, tag
        with open(self.ledger, "wb"):
            pass
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                status = self.work(os.path.join(point, self.name))
            finally:
                os._exit(status)

    def operations(self, world):
        """Those of this round, one after the other; the caller applies each to the world before it asks for the next."""
        return self.plan(random.Random("%s %s" % (self.seed, self.name)), world, self.tag)

    def work(self, root):
        """In the process: until the mount dies. 0, or the number of an error that has nothing to do with that."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ledger = os.open(self.ledger, os.O_WRONLY | os.O_APPEND)
        operation = ()
        try:
            if not os.path.isdir(root):
                os.mkdir(root)
            for operation in self.operations(self.world):
                begin = time.monotonic_ns()
                perform(root, operation)
                os.write(ledger, RECORD.pack(begin, time.monotonic_ns()))
                self.world.apply(operation)
        except OSError as error:
            if error.errno not in DEAD:
                print("worker %s: %s: %s" % (self.name, [word for word in operation if not isinstance(word, bytes)], error),
                      flush=True)
                return error.errno
        return 0

    def end(self):
        """After the kill. A store into a mapping of a dead mount is the end of a process."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGBUS, signal.SIGKILL):
            return
        if status != 0:
            raise Failed("worker %s: %s" % (self.name, os.strerror(os.WEXITSTATUS(status)) if os.WIFEXITED(status)
                                           else "ended with wait status %d" % status))

    def read_ledger(self):
        """(begin, end) of each operation that returned, and whether it was a sync."""
        with open(self.ledger, "rb") as file:
            self.times = list(RECORD.iter_unpack(file.read()))
        world = copy.deepcopy(self.world)
        self.acknowledged = []  # when the syncs began
        self.mapped = 0         # operations up to the last msync
        plan = self.operations(world)
        for index, (begin, _) in enumerate(self.times):
            operation = next(plan)
            world.apply(operation)
            if operation[0] == "map":
                self.mapped = index + 1
            if operation[0] in SYNCS or operation[0] == "map":
                self.acknowledged.append(begin)
        self.done = len(self.times)


class Search:
    """Which prefix of a worker's operations a mount shows."""

    def __init__(self, worker, got):
        self.worker = worker
        self.got = got
        self.world = copy.deepcopy(worker.world)
        paths = self.world.entries.keys() | got.keys()
        self.different = {path for path in paths if not self.is_same(path)}

    def is_same(self, path):
        entries = self.world.entries
        return path in entries and path in self.got and same(entries[path], self.got[path])

    def apply(self, operation):
        self.world.apply(operation)
        for path in touched(operation):
            if self.is_same(path) or (path not in self.world.entries and path not in self.got):
                self.different.discard(path)
            else:
                self.different.add(path)

    def part_of(self, operation):
        """The world with a part of an operation: a write may come as several requests, parted where pages begin; what is stored
        through a mapping is no operation before msync has returned. None if that does not explain what is there."""
        name, path, *rest = operation
        if name not in ("write", "map") or self.different - {path} or not isinstance(self.got.get(path), Node):
            return None
        offset, data = rest
        world = copy.deepcopy(self.world)
        node, got = world.entries[path], self.got[path].data
        if name == "map":
            before = bytes(node.data)
            if len(got) != len(before) or got[:offset] != before[:offset] or got[offset + len(data):] != before[
                    offset + len(data):]:
                return None
            node.data = bytearray(got)
            return world
        for end in range(offset // PAGE * PAGE + PAGE, offset + len(data), PAGE):
            part = Node()
            part.data = bytearray(node.data)
            part.write(offset, data[:end - offset])
            if part.data == got:
                node.data = part.data
                return world
        return None

    def find(self, required, with_parts):
        """(fewest, most, world): how many operations are there; the world after the most of them. None: no number explains
        what is there, or with parts: Failed."""
        worker = self.worker
        fewest = most = world = None
        explained = "%d differ before all of them" % len(self.different)
        plan = worker.operations(self.world)
        for count in range(worker.done + 2):
            if count >= required and not self.different:
                fewest = count if fewest is None else fewest
                most = count
                world = copy.deepcopy(self.world)
            if count == required:
                explained = ", ".join(sorted(self.different)[:4])
            if count > worker.done:
                break
            operation = next(plan)
            if with_parts and count >= required and self.different:
                part = self.part_of(operation)
                if part is not None:
                    return count, count, part
            self.apply(operation)
        if most is None and with_parts:
            raise Failed("%s: no prefix from %d to %d of its operations is there. Different from the former: %s; from the "
                         "latter: %s" % (worker.name, required, worker.done, explained,
                                         ", ".join(sorted(self.different)[:4])))
        return None if most is None else (fewest, most, world)


class Test:
    def __init__(self, scratch, rounds):
        self.scratch = scratch
        self.rounds = rounds
        self.random = random.Random(mounts.seed_of_test())
        self.remount_ms = []
        self.recovery_lines = []
        self.counts = collections.Counter()
        self.mount = None

    def new_database(self, number):
        if self.mount:
            if self.mount.stop() != 0:
                raise Failed("unmount: %s" % self.mount.log_tail())
            mounts.expect_clean(self.mount.database, "at the end of a database")
            os.unlink(self.mount.database)
        page_size = (16384, 4096, 8192, 32768, 65536)[number % 5]
        self.mount = Mount(os.path.join(self.scratch, "db-%d.bt" % number), os.path.join(self.scratch, "mnt"),
                           ["-o", "cache=%s" % self.random.choice(("1G", "10M"))])
        self.mount.options += ["--page-size=%d" % page_size]
        self.mount.start()
        self.workers = [Worker(name, self.scratch) for name in PLANS]

    def check_copy(self, what):
        """Nobody writes to the file meanwhile: the daemon is dead or stopped."""
        path = os.path.join(self.scratch, "copy.bt")
        shutil.copyfile(self.mount.database, path)
        mounts.expect_clean(path, what)
        os.unlink(path)

    def kill_recovery(self):
        """The daemon that recovers is killed, too, before or soon after it is done."""
        times = self.random.choice((0, 0, 1, 1, 2))
        usual_ms = statistics.median(self.remount_ms) if self.remount_ms else 30
        for _ in range(times):
            self.mount.spawn()
            time.sleep(self.random.uniform(0, 1.3 * usual_ms) / 1000)
            self.mount.kill()
            self.counts["kills"] += 1
            self.counts["kills in recovery"] += 1
            self.check_copy("killed while it recovered")

    def load(self, number):
        for worker in self.workers:
            worker.start(self.mount.point, self.random.getrandbits(32), "r%d" % number)
        time.sleep(self.random.uniform(*LOAD_S))
        if not self.mount.is_alive():
            raise Failed("the daemon has ended: %s" % self.mount.log_tail())
        early = [worker for worker in self.workers if os.waitid(os.P_PID, worker.pid,
                                                                os.WEXITED | os.WNOHANG | os.WNOWAIT)]
        self.mount.kill_daemon()
        self.counts["kills"] += 1
        for worker in self.workers:
            worker.end()
        mounts.release(self.mount.point)
        if early:
            raise Failed("worker %s has ended before the kill" % early[0].name)

    def verify(self):
        for worker in self.workers:
            worker.read_ledger()
        synced = max((begin for worker in self.workers for begin in worker.acknowledged), default=0)
        found = {}
        for worker in self.workers:
            root = os.path.join(self.mount.point, worker.name)
            if not os.path.isdir(root):
                if any(end <= synced for _, end in worker.times):
                    raise Failed("%s: its directory is not there" % worker.name)
                found[worker] = 0, 0, World()
                continue
            # A store through a mapping is itself what its msync acknowledges.
            required = max(sum(1 for _, end in worker.times if end <= synced), worker.mapped)
            got = observe(root)
            found[worker] = Search(worker, got).find(required, False) or Search(worker, got).find(required, True)
            self.counts["operations"] += worker.done
            self.counts["syncs"] += len(worker.acknowledged)
            self.counts["lost, not synced"] += max(0, worker.done - found[worker][1])
        self.expect_order(found)
        for worker, (_, _, world) in found.items():
            worker.world = world

    def expect_order(self, found):
        """What had returned before something began is there if that is there."""
        for lost, (_, most, _) in found.items():
            if most >= lost.done:
                continue
            returned = lost.times[most][1]
            for other, (fewest, _, _) in found.items():
                if 0 < fewest <= other.done and other.times[fewest - 1][0] > returned:
                    raise Failed("operation %d of %s is there and operation %d of %s is not, which had returned before" % (
                        fewest, other.name, most + 1, lost.name))

    def one_round(self, number):
        self.load(number)
        self.check_copy("killed")
        self.kill_recovery()
        log_offset = self.mount.log_size()
        self.mount.start()
        self.remount_ms.append(self.mount.mount_ms)
        self.recovery_lines += [line for line in self.mount.log(log_offset).splitlines() if "recovered" in line]
        # The daemon is stopped for the copy, since it may be at work on its own.
        self.mount.daemon.send_signal(signal.SIGSTOP)
        self.check_copy("mounted again")
        self.mount.daemon.send_signal(signal.SIGCONT)
        self.verify()

    def run(self):
        for number in range(self.rounds):
            if number % ROUNDS_OF_A_DATABASE == 0:
                self.new_database(number // ROUNDS_OF_A_DATABASE)
            try:
                self.one_round(number)
            except Failed as failed:
                for worker in self.workers:
                    if worker.pid:
                        os.kill(worker.pid, signal.SIGKILL)
                shutil.copyfile(self.mount.database, os.path.join(self.scratch, "failed.bt"))
                raise Failed("round %d: %s\n%s" % (number, failed, self.mount.log_tail())) from failed
            if number % 10 == 9 or number == self.rounds - 1:
                note("round %d: %s" % (number + 1, dict(self.counts)))
        if self.mount.stop() != 0:
            raise Failed("the last unmount: %s" % self.mount.log_tail())
        mounts.expect_clean(self.mount.database, "at the end")
        note("mounted again in %.0f ms (median), %.0f ms (maximum)" % (statistics.median(self.remount_ms),
                                                                   max(self.remount_ms)))
        for line in self.recovery_lines[-3:]:
            note(line)


def main(scratch):
    Test(scratch, int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS).run()


mounts.run(main)
