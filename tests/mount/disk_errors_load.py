"""The fixed workload that meets a failing disk, and what may be seen of it afterwards.

Each system call that succeeded leads to a new state; a state is what the tree holds: path -> None (directory), bytes (file) or
str (symbolic link). What a mount shows after a stop is one of the states since the last sync that was acknowledged.
"""

import errno
import os
import random

from mounts import Failed

OLD_FILES = 150
BIG_SIZE = 400000


def pattern(seed, size):
    return random.Random(seed).randbytes(size)


def fill(point):
    """What the database holds before the workload; its state."""
    state = {"old": None, "old/deep": None}
    for number in range(OLD_FILES):
        state["old/f%03d" % number] = pattern(number, (number * 97) % 6000)
    state["old/big"] = pattern("big", BIG_SIZE)
    state["old/large"] = pattern("large", 1 << 20)
    for path, data in state.items():
        if data is None:
            os.mkdir(os.path.join(point, path))
            continue
        with open(os.path.join(point, path), "wb") as file:
            file.write(data)
    return state


def observe(point):
    """The state that a mount shows."""
    state = {}
    stack = [""]
    while stack:
        directory = stack.pop()
        for entry in os.scandir(os.path.join(point, directory)):
            path = os.path.join(directory, entry.name)
            if entry.is_symlink():
                state[path] = os.readlink(entry.path)
            elif entry.is_dir():
                state[path] = None
                stack.append(path)
            else:
                with open(entry.path, "rb") as file:
                    state[path] = file.read()
    return state


def difference(wanted, got):
    """What tells two states apart, in a few words; empty if nothing does."""
    words = []
    for path in sorted(wanted.keys() | got.keys()):
        if path not in got:
            words.append("%s is missing" % path)
        elif path not in wanted:
            words.append("%s should not be there" % path)
        elif wanted[path] != got[path]:
            sizes = tuple(len(data) if isinstance(data, bytes) else data for data in (wanted[path], got[path]))
            words.append("%s differs (size wanted %s, got %s)" % ((path,) + sizes))
    return "; ".join(words[:5])


class Record:
    """What was done, and with what success. allowed: the errors (numbers) that a call may answer with."""

    def __init__(self, point, state, allowed):
        self.point = point
        self.states = [state]
        self.acknowledged = 0
        self.allowed = allowed
        self.errors = []

    def path(self, name):
        return os.path.join(self.point, name)

    def do(self, what, call, change=None):
        """Makes a call; change(state, result) says what its success means. None when it failed."""
        try:
            result = call()
        except OSError as error:
            self.errors.append((what, error.errno))
            # A sync may say EIO for all that can go wrong with it.
            is_failed_sync = self.allowed and what.startswith("fsync ") and error.errno == errno.EIO
            if error.errno not in self.allowed and not is_failed_sync:
                raise Failed("%s: %s" % (what, error)) from error
            return None
        if change:
            state = dict(self.states[-1])
            change(state, result)
            self.states.append(state)
        return True if result is None else result

    def sync(self, what, descriptor, data_only=False):
        reached = len(self.states) - 1
        if self.do("fsync " + what, lambda: (os.fdatasync if data_only else os.fsync)(descriptor)) is not None:
            self.acknowledged = reached

    def sync_directory(self, name):
        descriptor = self.do("open " + name, lambda: os.open(self.path(name), os.O_RDONLY | os.O_DIRECTORY))
        if descriptor is not None:
            self.sync(name, descriptor)
            os.close(descriptor)

    def mkdir(self, name):
        self.do("mkdir " + name, lambda: os.mkdir(self.path(name)), lambda state, _: state.update({name: None}))

    def unlink(self, name):
        self.do("unlink " + name, lambda: os.unlink(self.path(name)), lambda state, _: state.pop(name))

    def rename(self, old, new):
        self.do("rename %s %s" % (old, new), lambda: os.rename(self.path(old), self.path(new)),
                lambda state, _: state.update({new: state.pop(old)}))

    def truncate(self, name, size):
        self.do("truncate %s %d" % (name, size), lambda: os.truncate(self.path(name), size),
                lambda state, _: state.update({name: state[name][:size].ljust(size, b"\0")}))

    def write(self, name, data, offset=0, create=False, sync=None):
        """Opens, writes (all of it, as long as it goes), syncs if asked ("file" or "data")."""
        flags = os.O_WRONLY | (os.O_CREAT | os.O_EXCL if create else 0)
        descriptor = self.do("open " + name, lambda: os.open(self.path(name), flags, 0o644),
                             (lambda state, _: state.update({name: b""})) if create else None)
        if descriptor is None:
            return

        def changed(state, count, at):
            before = state[name].ljust(at, b"\0")
            state[name] = before[:at] + data[at - offset:at - offset + count] + before[at + count:]

        at = offset
        while at < offset + len(data):
            count = self.do("write " + name, lambda: os.pwrite(descriptor, data[at - offset:], at),
                            lambda state, count: changed(state, count, at))
            if count is None:
                break
            at += count
        if sync:
            self.sync(name, descriptor, sync == "data")
        os.close(descriptor)

    def read(self, name):
        """What can be read has to be right."""
        def call():
            with open(self.path(name), "rb", buffering=0) as file:
                return file.readall()

        data = self.do("read " + name, call)
        if data is not None and data is not True and data != self.states[-1][name]:
            raise Failed("reading %s: other bytes than were written" % name)

    def list(self, name):
        names = self.do("readdir " + name, lambda: sorted(os.listdir(self.path(name))))
        prefix = name + "/"
        wanted = sorted(path[len(prefix):] for path in self.states[-1]
                        if path.startswith(prefix) and "/" not in path[len(prefix):])
        if names is not None and names is not True and names != wanted:
            raise Failed("listing %s: %d entries instead of %d" % (name, len(names), len(wanted)))

    def has(self, name):
        return name in self.states[-1]


def work(record):
    """A little of everything. What a failure left out can't be built upon: the rest goes on with what there is."""
    record.list("old")
    record.mkdir("a")
    if record.has("a"):
        for number in range(5):
            record.write("a/f%d" % number, pattern("f%d" % number, 100 + 900 * number), create=True,
                         sync="file" if number == 2 else None)
        record.write("a/big", pattern("a/big", 300000), create=True, sync="data")
    record.write("old/f007", pattern("append", 5000), offset=len(record.states[-1]["old/f007"]))
    record.write("old/big", pattern("overwrite", 20000), offset=12345, sync="file")
    record.read("old/big")
    if record.has("a"):
        record.write("a/new", pattern("new", 9000), create=True)
        if record.has("a/new"):
            record.rename("a/new", "old/f011")
        record.sync_directory("a")
    record.truncate("old/big", 100001)
    record.truncate("old/big", 250000)
    record.rename("old/f013", "old/deep/moved")
    record.unlink("old/f012")
    record.do("symlink", lambda: os.symlink("f020", record.path("old/link")),
              lambda state, _: state.update({"old/link": "f020"}))
    record.do("link", lambda: os.link(record.path("old/f021"), record.path("old/hard")),
              lambda state, _: state.update({"old/hard": state["old/f021"]}))
    record.do("chmod", lambda: os.chmod(record.path("old/f022"), 0o600))
    record.sync_directory("old")
    for number in (30, 77, 149):
        record.read("old/f%03d" % number)
    record.read("old/large")
    record.write("huge", pattern("huge", 6 << 20), create=True, sync="file")
    record.unlink("old/large")
    if record.has("huge"):
        record.unlink("huge")
    record.sync_directory("old")
    record.list("old/deep")
    # Nobody asks for these to be durable: the unmount has to do it.
    record.mkdir("last")
    record.write("old/f100", pattern("last", 70000))


def matching_state(record, got):
    """The number of the state that was found, which has to be one that was not synced away."""
    for number in range(len(record.states) - 1, record.acknowledged - 1, -1):
        if not difference(record.states[number], got):
            return number
    raise Failed("none of the states %d to %d is there; the acknowledged one: %s; the last one: %s" % (
        record.acknowledged, len(record.states) - 1, difference(record.states[record.acknowledged], got),
        difference(record.states[-1], got)))


def failing_errors(*names):
    return {getattr(errno, name) for name in names}
