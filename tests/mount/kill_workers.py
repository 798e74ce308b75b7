"""What the processes of the kill test do, as system calls that can be made and simulated alike.

A worker owns one directory. A plan is a generator of operations; it looks only at its own random numbers and at the World, the
model of the directory, so that the driver can repeat it afterwards: the state after any number of operations is known.
"""

import mmap
import os

PAGE = 4096
SYNCS = ("sync", "datasync", "syncdir")


class World:
    """What a worker's directory holds: path -> None (directory), str (symbolic link) or a Node (file)."""

    def __init__(self):
        self.entries = {}

    def apply(self, operation):
        name, path, *rest = operation
        entries = self.entries
        if name == "mkdir":
            entries[path] = None
        elif name == "create":
            entries[path] = Node()
        elif name in ("write", "map"):
            entries[path].write(rest[0], rest[1])
        elif name == "truncate":
            entries[path].truncate(rest[0])
        elif name == "chmod":
            entries[path].mode = rest[0]
        elif name in ("unlink", "rmdir"):
            del entries[path]
        elif name == "rename":
            entries[rest[0]] = entries.pop(path)
        elif name == "link":
            entries[rest[0]] = entries[path]
        elif name == "symlink":
            entries[path] = rest[0]
        elif name not in SYNCS:
            raise ValueError(name)

    def files(self, prefix=""):
        return sorted(path for path in self.entries if path.startswith(prefix) and isinstance(self.entries[path], Node))


class Node:
    def __init__(self):
        self.data = bytearray()
        self.mode = 0o644

    def write(self, offset, data):
        if len(self.data) < offset:
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset:offset + len(data)] = data

    def truncate(self, size):
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))


def touched(operation):
    """The paths whose entries an operation changes."""
    if operation[0] in SYNCS:
        return ()
    if operation[0] in ("rename", "link"):
        return operation[1], operation[2]
    return (operation[1],)


def observe(root):
    """The directory as the mount shows it, in the terms of World."""
    entries = {}
    stack = [""]
    while stack:
        directory = stack.pop()
        with os.scandir(os.path.join(root, directory)) as listing:
            for entry in listing:
                path = os.path.join(directory, entry.name)
                if entry.is_symlink():
                    entries[path] = os.readlink(entry.path)
                elif entry.is_dir():
                    entries[path] = None
                    stack.append(path)
                else:
                    node = Node()
                    with open(entry.path, "rb") as file:
                        node.data = file.read()
                        node.mode = os.fstat(file.fileno()).st_mode & 0o7777
                    entries[path] = node
    return entries


def same(wanted, got):
    if isinstance(wanted, Node) and isinstance(got, Node):
        return wanted.mode == got.mode and wanted.data == got.data
    return type(wanted) is type(got) and wanted == got


# --- Doing it

def with_descriptor(path, flags, call):
    descriptor = os.open(path, flags)
    try:
        call(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor, offset, data):
    at = 0
    while at < len(data):
        at += os.pwrite(descriptor, data[at:], offset + at)


def store_mapped(descriptor, offset, data):
    """Through a mapping, and msync."""
    begin = offset // PAGE * PAGE
    with mmap.mmap(descriptor, offset + len(data) - begin, offset=begin) as view:
        view[offset - begin:offset - begin + len(data)] = data
        view.flush()


def perform(root, operation):
    name, path, *rest = operation
    path = os.path.join(root, path)
    if name == "mkdir":
        os.mkdir(path)
    elif name == "create":
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    elif name == "write":
        with_descriptor(path, os.O_WRONLY, lambda descriptor: write_all(descriptor, *rest))
    elif name == "map":
        with_descriptor(path, os.O_RDWR, lambda descriptor: store_mapped(descriptor, *rest))
    elif name == "truncate":
        os.truncate(path, rest[0])
    elif name == "chmod":
        os.chmod(path, rest[0])
    elif name == "unlink":
        os.unlink(path)
    elif name == "rmdir":
        os.rmdir(path)
    elif name == "rename":
        os.rename(path, os.path.join(root, rest[0]))
    elif name == "link":
        os.link(path, os.path.join(root, rest[0]))
    elif name == "symlink":
        os.symlink(rest[0], path)
    elif name == "sync":
        with_descriptor(path, os.O_WRONLY, os.fsync)
    elif name == "datasync":
        with_descriptor(path, os.O_WRONLY, os.fdatasync)
    elif name == "syncdir":
        with_descriptor(path, os.O_RDONLY | os.O_DIRECTORY, os.fsync)


# --- Plans. tag: different in each round, for names that were never used before.

def new_file(random, path, size_max):
    yield "create", path
    size = random.randrange(size_max + 1)
    if size:
        yield "write", path, 0, random.randbytes(size)


def plan_creates(random, world, tag):
    """Small files, synced one by one or by their directory."""
    for number in range(4):
        if "d%d" % number not in world.entries:
            yield "mkdir", "d%d" % number
    number = 0
    while True:
        number += 1
        directory = "d%d" % random.randrange(4)
        path = "%s/%s-%d" % (directory, tag, number)
        yield from new_file(random, path, random.choice((100, 3000, 20000)))
        chance = random.random()
        if chance < 0.6:
            yield "sync", path
        elif chance < 0.8:
            yield "syncdir", directory
        files = world.files()
        if len(files) > 250:
            for path in random.sample(files, 60):
                yield "unlink", path


def plan_appends(random, world, tag):
    """Logs, rotated when they are long."""
    while True:
        path = "log-%d" % random.randrange(3)
        if path not in world.entries:
            yield "create", path
        size = len(world.entries[path].data)
        if size > 200000:
            yield from random.choice(((("rename", path, path + ".old"), ("create", path)), (("truncate", path, 0),)))
            size = 0
        yield "write", path, size, random.randbytes(random.randrange(16, 900))
        if random.random() < 0.7:
            yield "datasync", path


def plan_overwrites(random, world, tag):
    """Places in a large file, which now and then gets shorter and longer again."""
    if "large" not in world.entries:
        yield "create", "large"
    while len(world.entries["large"].data) < 8 << 20:
        size = len(world.entries["large"].data)
        yield "write", "large", size, random.randbytes(min(1 << 20, (8 << 20) - size))
    while True:
        for _ in range(random.randrange(1, 5)):
            size = random.choice((512, 4096, 10000, 65536, 300000))
            offset = random.randrange(0, (8 << 20) - size)
            yield "write", "large", offset if random.random() < 0.3 else offset // PAGE * PAGE, random.randbytes(size)
        yield random.choice(("sync", "datasync")), "large"
        if random.random() < 0.1:
            yield "truncate", "large", random.randrange(7 << 20, 8 << 20)
            yield "truncate", "large", 8 << 20


def plan_renames(random, world, tag):
    """New contents under an old name, as editors and databases do it."""
    number = 0
    while True:
        number += 1
        temporary = "new-%s-%d" % (tag, number)
        yield from new_file(random, temporary, random.choice((500, 9000, 60000)))
        yield "sync", temporary
        yield "rename", temporary, "target-%d" % random.randrange(12)
        if random.random() < 0.5:
            yield "syncdir", ""


def plan_deletes(random, world, tag):
    """Directories that come and go."""
    number = 0
    while True:
        number += 1
        directory = "tree-%s-%d" % (tag, number)
        yield "mkdir", directory
        for index in range(random.randrange(1, 20)):
            yield from new_file(random, "%s/f%d" % (directory, index), 8000)
        yield "syncdir", directory
        others = [path for path, entry in world.entries.items() if entry is None and path != directory]
        for other in others[:max(0, len(others) - 3)]:
            for path in world.files(other + "/"):
                yield "unlink", path
            yield "rmdir", other
            yield "syncdir", ""


def plan_maps(random, world, tag):
    """Stores through mappings, and msync."""
    if "map" not in world.entries:
        yield "create", "map"
    if len(world.entries["map"].data) < 1 << 20:
        yield "write", "map", 0, random.randbytes(1 << 20)
    while True:
        size = random.choice((8, 700, 4096, 12288))
        yield "map", "map", random.randrange(0, (1 << 20) - size), random.randbytes(size)


def plan_objects(random, world, tag):
    """As git writes objects and refs."""
    number = 0
    while True:
        number += 1
        directory = "%02x" % random.randrange(24)
        if directory not in world.entries:
            yield "mkdir", directory
        temporary = "%s/tmp-%s-%d" % (directory, tag, number)
        yield from new_file(random, temporary, random.choice((300, 5000, 30000)))
        yield "sync", temporary
        yield "chmod", temporary, 0o444
        yield "link", temporary, "%s/%s-%d" % (directory, tag, number)
        yield "unlink", temporary
        if random.random() < 0.3:
            yield "syncdir", directory
            yield "create", "ref.lock-%s-%d" % (tag, number)
            yield "write", "ref.lock-%s-%d" % (tag, number), 0, ("%040x\n" % random.getrandbits(160)).encode()
            yield "sync", "ref.lock-%s-%d" % (tag, number)
            yield "rename", "ref.lock-%s-%d" % (tag, number), "ref"
        files = [path for path in world.files() if "/" in path]
        if len(files) > 300:
            for path in random.sample(files, 100):
                yield "unlink", path


def plan_unpack(random, world, tag):
    """Much at once, and nobody asks for any of it to be durable."""
    number = 0
    while True:
        number += 1
        top = "%s-%d" % (tag, number)
        yield "mkdir", top
        for index in range(300):
            if index % 30 == 0:
                directory = "%s/d%d" % (top, index // 30)
                yield "mkdir", directory
            path = "%s/f%d" % (directory, index)
            yield from new_file(random, path, random.choice((200, 4000, 40000)))
            if random.random() < 0.2:
                yield "chmod", path, 0o755
            if random.random() < 0.05:
                yield "symlink", path + "-link", "f%d" % index
        for path in sorted((path for path in world.entries if not path.startswith(top)), key=lambda path: -path.count("/")):
            yield ("rmdir" if world.entries[path] is None else "unlink"), path


PLANS = {"creates": plan_creates, "appends": plan_appends, "overwrites": plan_overwrites, "renames": plan_renames,
         "deletes": plan_deletes, "maps": plan_maps, "objects": plan_objects, "unpack": plan_unpack}
