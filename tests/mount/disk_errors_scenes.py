"""disk_errors_scenes.py SCRATCH: what a failing or full disk looks like to people. A sync that fails behind everybody's back,
with the reason in syslog; a disk that is full, three times; a block that can't be read, or holds something else.
"""

import errno
import json
import os
import random
import socket
import subprocess
import sys

import mounts
from disk_errors import Disk
from mounts import Failed, Mount, note

BLOCK = 4096


def expect_error(what, number, call):
    try:
        call()
    except OSError as error:
        if error.errno != number:
            raise Failed("%s: %s instead of %s" % (what, error, os.strerror(number))) from error
    else:
        raise Failed("%s: succeeds" % what)


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def write_synced(path, data):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        at = 0
        while at < len(data):
            at += os.write(descriptor, data[at:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- A sync that fails in the background

def background_failure(scratch, call, error):
    database = os.path.join(scratch, "background-%s.bt" % call)
    disk = Disk(database)
    mount = Mount(database, os.path.join(scratch, "background"), environment=disk.environment)
    mount.start()
    write_synced(os.path.join(mount.point, "synced"), b"synced")
    disk.arm(call, error)
    os.mkdir(os.path.join(mount.point, "nobody-syncs-this"))
    mounts.wait_until(lambda: mount.state()["read_only"], "a failed %s turns the filesystem read-only" % call, 20)
    failure = mount.state()["failure"]
    if os.strerror(getattr(errno, error)) not in failure or failure not in mount.log():
        raise Failed("the reason \"%s\" is not \"%s\", or not in the log" % (failure, error))
    expect_error("a change", errno.EROFS, lambda: os.mkdir(os.path.join(mount.point, "later")))
    if read_file(os.path.join(mount.point, "synced")) != b"synced":
        raise Failed("what was synced can't be read")
    if mount.stop() == 0:
        raise Failed("the daemon ends as if everything had been saved")
    mounts.expect_clean(database, "after a failed %s" % call)
    mount.start()
    if read_file(os.path.join(mount.point, "synced")) != b"synced":
        raise Failed("what was synced is not there")
    os.mkdir(os.path.join(mount.point, "later"))
    if mount.stop() != 0:
        raise Failed("the mount after the failure can't be ended well")


def in_syslog(scratch):
    """Runs in a mount namespace of its own, so that /dev/log is ours; the daemon is in the background."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/dev"], check=True)
    for name, major, minor in (("null", 1, 3), ("zero", 1, 5), ("urandom", 1, 9), ("fuse", 10, 229)):
        os.mknod("/dev/" + name, 0o666 | 0o020000, os.makedev(major, minor))
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    log.settimeout(mounts.WAIT_S)
    database, point = os.path.join(scratch, "syslog.bt"), os.path.join(scratch, "syslog")
    os.mkdir(point)
    disk = Disk(database)
    subprocess.run([mounts.DAEMON, database, point], env={**os.environ, **disk.environment}, check=True,
                   stdin=subprocess.DEVNULL)
    descriptor = os.open(os.path.join(point, "file"), os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"data")
    disk.arm("sync", "EIO", lasting=True)
    expect_error("fsync", errno.EIO, lambda: os.fsync(descriptor))
    os.close(descriptor)
    line = ""
    while "takes no more changes" not in line:
        line = log.recv(4096).decode(errors="replace")
    state = json.loads(subprocess.run([mounts.TOOL, "status", "--json", point], check=True, text=True,
                                      stdout=subprocess.PIPE).stdout)["state"]
    if "beeftreefs" not in line or state["failure"] not in line or "Input/output error" not in line:
        raise Failed("syslog says \"%s\", status \"%s\"" % (line, state["failure"]))
    result = subprocess.run([mounts.TOOL, "unmount", point], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    if result.returncode != 1 or "not everything could be saved" not in result.stdout:
        raise Failed("unmount: status %d, %s" % (result.returncode, result.stdout))
    while "not everything could be saved" not in line:
        line = log.recv(4096).decode(errors="replace")
    mounts.expect_clean(database, "after a failed fsync")


# --- A full disk

class Full:
    """Files that were written, by name; only those that were synced have to be there after a kill."""

    def __init__(self, mount, generator):
        self.mount = mount
        self.generator = generator
        self.files = {}
        self.number = 0

    def path(self, name):
        return os.path.join(self.mount.point, name)

    def available(self):
        status = os.statvfs(self.mount.point)
        return status.f_bavail * status.f_frsize

    def write_one(self, size):
        """Whether there was room."""
        self.number += 1
        name = "d%d/file-%d" % (self.number % 3, self.number)
        data = self.generator.randbytes(size)
        try:
            os.makedirs(self.path(os.path.dirname(name)), exist_ok=True)
            write_synced(self.path(name), data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise Failed("writing %s on a full disk: %s" % (name, error)) from error
            # What it has of its bytes is as good as nothing, but they are the right ones.
            if os.path.exists(self.path(name)):
                self.files[name] = data[:os.stat(self.path(name)).st_size]
            return False
        self.files[name] = data
        return True

    def fill(self):
        """Large ones until there is no room, then small ones until there is none at all."""
        self.write_one(10 << 20)
        for size_max in (900000, 60000, 3000):
            while self.write_one(self.generator.randrange(1, size_max)):
                pass

    def verify(self, what):
        found = {}
        for directory in os.listdir(self.mount.point):
            for name in os.listdir(self.path(directory)):
                found["%s/%s" % (directory, name)] = None
        if found.keys() != self.files.keys():
            raise Failed("%s: %d files instead of %d" % (what, len(found), len(self.files)))
        for name, data in self.files.items():
            if read_file(self.path(name)) != data:
                raise Failed("%s: %s has other contents" % (what, name))

    def remove_half(self):
        """Removes half of the files and cuts the largest one short. How many bytes of contents went."""
        names = sorted(self.files, key=lambda name: len(self.files[name]))
        largest = names.pop()
        os.truncate(self.path(largest), 1000)
        freed = len(self.files[largest]) - 1000
        self.files[largest] = self.files[largest][:1000]
        self.generator.shuffle(names)
        for name in names[:len(names) // 2]:
            os.unlink(self.path(name))
            freed += len(self.files.pop(name))
        return freed


def full_disk(scratch, generator):
    host = os.path.join(scratch, "host")
    os.mkdir(host)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", host], check=True)
    try:
        fill_three_times(Mount(os.path.join(host, "db.bt"), os.path.join(scratch, "full")), generator)
    finally:
        mounts.release(scratch)
        subprocess.run(["umount", "-l", host], check=True)


def fill_three_times(mount, generator):
    mount.log_path = os.path.join(os.path.dirname(mount.point), "full.log")
    full = Full(mount, generator)
    for number in range(1, 4):
        mount.start()
        full.fill()
        full.verify("full")
        before = full.available()
        freed = full.remove_half()
        os.sync()
        enough = before + freed * 3 // 4
        mounts.wait_until(lambda: full.available() >= enough, "df shows the room of what was removed (%d, then %d of "
                          "%d)" % (before, full.available(), enough), 20)
        if mount.state()["read_only"]:
            raise Failed("a full disk has turned the filesystem read-only: %s" % mount.state()["failure"])
        room = full.available() // 2
        written = 0
        while written < room:
            size = generator.randrange(1, 200000)
            if not full.write_one(size):
                raise Failed("no room for %d bytes, %d of %d after the removal" % (size, written, room))
            written += size
        full.verify("after the removal")
        note("full disk, round %d: %d bytes free, %d removed, %d free, %d written, %d files" % (
            number, before, freed, room * 2, written, len(full.files)))
        if number == 2:
            mount.kill()  # each of them was synced
        elif mount.stop() != 0:
            raise Failed("unmounting: %s" % mount.log_tail())
        mounts.expect_clean(mount.database, "after a full disk")
        mount.start()
        full.verify("mounted again")
        mount.stop()


# --- Blocks that can't be read, or hold something else

def find_block(database, data):
    """Where in the file a whole block of these contents is."""
    bytes_there = read_file(database)
    for offset in range(0, len(bytes_there), BLOCK):
        if bytes_there[offset:offset + BLOCK] == data:
            return offset
    raise Failed("contents are not in the file")


def flip(database, offset):
    with open(database, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x40]))


def expect_only(mount, contents, bad):
    """All but one of the files can be read, and the one answers with EIO."""
    for name, data in contents.items():
        path = os.path.join(mount.point, name)
        if name == bad:
            expect_error("reading %s" % name, errno.EIO, lambda path=path: read_file(path))
        elif read_file(path) != data:
            raise Failed("%s has other contents" % name)


def bad_blocks(scratch, generator):
    database = os.path.join(scratch, "bad.bt")
    disk = Disk(database)
    mount = Mount(database, os.path.join(scratch, "bad"), environment=disk.environment)
    mount.start()
    contents = {"large-%d" % number: generator.randbytes(200000) for number in range(8)}
    for name, data in contents.items():
        write_synced(os.path.join(mount.point, name), data)
    bad = "large-3"
    inode = os.stat(os.path.join(mount.point, bad)).st_ino
    mount.stop()
    at = 20 * BLOCK
    place = find_block(database, contents[bad][at:at + BLOCK])

    mount.start()
    disk.arm("read", "EIO", lasting=True, span=(place, place + BLOCK))
    expect_only(mount, contents, bad)
    if "inode %d: contents at offset " % inode not in mount.log():
        raise Failed("no line names inode %d: %s" % (inode, mount.log_tail()))
    write_synced(os.path.join(mount.point, "new"), b"changes go on")
    # The other blocks of the file are as good as ever.
    with open(os.path.join(mount.point, bad), "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        if os.pread(file.fileno(), BLOCK, at + BLOCK) != contents[bad][at + BLOCK:at + 2 * BLOCK]:
            raise Failed("the block behind the one that can't be read has other contents")
        expect_error("the block that can't be read", errno.EIO, lambda: os.pread(file.fileno(), BLOCK, at))
    disk.disarm()
    expect_only(mount, contents, None)
    mount.stop()
    mounts.expect_clean(database, "after a block that could not be read")

    flip(database, place + 1000)
    offset = mount.log_size()
    mount.start()
    expect_only(mount, contents, bad)
    if "inode %d: contents at offset %d " % (inode, at) not in mount.log(offset):
        raise Failed("no line names inode %d and the damage: %s" % (inode, mount.log(offset)))
    # Written anew it is whole.
    write_synced(os.path.join(mount.point, bad), contents[bad])
    expect_only(mount, contents, None)
    mount.stop()
    mounts.expect_clean(database, "after the damaged block was written anew")


def bad_page(scratch, generator):
    """A page of the tree: what is on it gives EIO, and all the rest goes on."""
    database = os.path.join(scratch, "page.bt")
    mount = Mount(database, os.path.join(scratch, "page"))
    mount.start()
    contents = {"small-%03d" % number: b"small %d " % number + generator.randbytes(2000) for number in range(200)}
    for name, data in contents.items():
        with open(os.path.join(mount.point, name), "wb") as file:
            file.write(data)
    mount.stop()
    place = read_file(database).rindex(contents["small-100"])
    flip(database, place + 5)
    mount.start()
    errors = 0
    for name, data in contents.items():
        try:
            if read_file(os.path.join(mount.point, name)) != data:
                raise Failed("%s has other contents" % name)
        except OSError as error:
            if error.errno != errno.EIO:
                raise Failed("reading %s: %s" % (name, error)) from error
            errors += 1
    if not 1 <= errors <= 20 or "damaged: page " not in mount.log():
        raise Failed("%d of %d files give EIO; the log: %s" % (errors, len(contents), mount.log_tail()))
    write_synced(os.path.join(mount.point, "new"), b"changes go on")
    if mount.stop() != 0:
        raise Failed("unmounting: %s" % mount.log_tail())
    mount.start()
    if read_file(os.path.join(mount.point, "new")) != b"changes go on":
        raise Failed("what was written beside the damage is not there")
    mount.stop()
    if mounts.check(database) is None:
        raise Failed("check finds a damaged page clean")
    note("a damaged page: %d of %d files give EIO" % (errors, len(contents)))


def main(scratch):
    if "--syslog" in sys.argv:
        in_syslog(scratch)
        return
    generator = random.Random(mounts.seed_of_test())
    for call, error in (("sync", "EIO"), ("write", "ENOSPC")):
        background_failure(scratch, call, error)
    note("failures in the background")
    if subprocess.run(["unshare", "-m", "--propagation", "private", sys.executable, __file__, scratch, "--syslog"],
                      check=False).returncode:
        raise Failed("syslog")
    note("the reason in syslog")
    bad_blocks(scratch, generator)
    note("blocks that can't be read, or hold something else")
    bad_page(scratch, generator)
    full_disk(scratch, generator)


mounts.run(main)
