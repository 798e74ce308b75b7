"""What a server of NFS does with file handles: nfs_handles.py DIRECTORY STATE make|again|busy|gone

  make   a tree, and the handles of everything in it, which go to the file STATE
  again  every handle opens what it was made of, cold; also in a new mount, also a read-only one
  busy   the same from several processes while names are moved, made and removed
  gone   removed, every handle is stale, and stays so whatever comes after

A server keeps nothing in memory: a client may come back with a handle when the kernel, or the daemon, has forgotten all.
"""
import errno
import os
import pickle
import random
import stat
import sys

from handles import CONNECTABLE, Handle, drop_caches, handle_of, open_handle

PATH_ONLY = os.O_PATH | os.O_NOFOLLOW
failures = 0


def check(what, wanted, got):
    global failures
    if wanted != got:
        failures += 1
        print("FAILED: %s: wanted %r, got %r" % (what, wanted, got))


def result(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def has_connectable():
    """Before Linux 6.13 there are none."""
    return result(handle_of, ".", CONNECTABLE) not in ("EINVAL", "EOPNOTSUPP")


def make(state):
    os.makedirs("tree/a/b/c/d/e")
    names = ["tree/a/b/c/d/e/deep"]
    for number in range(100):
        os.makedirs("tree/dir-%d/sub" % number)
        names += ["tree/dir-%d/file-%d" % (number, number), "tree/dir-%d/sub/file" % number]
    for name in names:
        with open(name, "w") as file:
            file.write(name)
    os.link("tree/a/b/c/d/e/deep", "tree/dir-7/linked")
    os.symlink("nowhere", "tree/symlink")
    os.mkfifo("tree/fifo")
    os.mknod("tree/socket", stat.S_IFSOCK | 0o600)
    found = []
    for directory, directories, files in os.walk("tree"):
        found += [os.path.join(directory, name) for name in [""] + directories + files]
    found = sorted({os.path.normpath(name) for name in found})
    connectable = has_connectable()
    entries = []
    for name in found:
        status = os.lstat(name)
        entries.append((name, status.st_ino, status.st_mode, bytes(handle_of(name)),
                        bytes(handle_of(name, CONNECTABLE)) if connectable else None))
    check("handles are different", len({entry[1] for entry in entries}), len({entry[3] for entry in entries}))
    with open(state, "wb") as file:
        pickle.dump(entries, file)


def again(entries):
    order = random.Random(5).sample(entries, len(entries))
    for cold in (False, True):
        if cold:
            drop_caches()
        for name, number, mode, plain, connectable in order:
            descriptor = result(open_handle, Handle.from_buffer_copy(plain), PATH_ONLY)
            if isinstance(descriptor, str):
                check(name, number, descriptor)
                continue
            status = os.fstat(descriptor)
            check(name, (number, mode), (status.st_ino, status.st_mode))
            if stat.S_ISDIR(mode):
                check("path of " + name, True, os.readlink("/proc/self/fd/%d" % descriptor).endswith("/" + name))
                check("parent of " + name, os.stat(os.path.dirname(name) or ".").st_ino,
                      os.stat("..", dir_fd=descriptor).st_ino)
            os.close(descriptor)
            if stat.S_ISREG(mode):
                descriptor = open_handle(Handle.from_buffer_copy(plain))
                text = os.read(descriptor, 100).decode()
                check("contents of " + name, True, text == name or "linked" in name)
                os.close(descriptor)
    if entries[0][4]:
        drop_caches()
        for name, number, mode, plain, connectable in order:
            descriptor = open_handle(Handle.from_buffer_copy(connectable), PATH_ONLY)
            path = os.readlink("/proc/self/fd/%d" % descriptor)
            names = [entry[0] for entry in entries if entry[1] == number]  # a hard link may get another name of its
            check("connected, " + name, (number, True),
                  (os.fstat(descriptor).st_ino, any(path.endswith("/" + other) for other in names)))
            os.close(descriptor)


def busy(entries):
    """The files keep their handles wherever their directories go."""
    files = [entry for entry in entries if stat.S_ISREG(entry[2]) and "dir-" in entry[0]]

    def reader(seed):
        generator = random.Random(seed)
        for _ in range(1500):
            name, number, _, plain, _ = generator.choice(files)
            descriptor = open_handle(Handle.from_buffer_copy(plain))
            status = os.fstat(descriptor)
            if status.st_ino != number or status.st_size == 0 or not os.read(descriptor, 100).startswith(b"tree/"):
                print("FAILED: %s opened as inode %d" % (name, status.st_ino))
                return 1
            os.close(descriptor)
            # What comes and goes is the right one or stale.
            with open("tree/own-%d" % seed, "w") as file:
                file.write("own")
            handle = handle_of("tree/own-%d" % seed)
            os.unlink("tree/own-%d" % seed)
            if result(open_handle, handle) != "ESTALE":
                print("FAILED: an unlinked file was opened")
                return 1
        return 0

    readers = []
    for seed in range(3):
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                status = reader(seed)
            finally:
                os._exit(status)
        readers.append(pid)
    generator = random.Random(9)
    count = 0
    while readers:
        one, other = ("tree/dir-%d" % generator.randrange(100) for _ in range(2))
        os.rename(one, "tree/moving")
        os.rename("tree/moving/sub", "tree/a/sub")
        count += 1
        if count % 50 == 0:
            drop_caches()
        os.rename("tree/a/sub", "tree/moving/sub")
        os.rename("tree/moving", one)
        if one != other:
            os.rename(one + "/sub", "tree/moving")
            os.rename(other + "/sub", one + "/sub")
            os.rename("tree/moving", other + "/sub")
            os.rename(other + "/sub", "tree/moving")
            os.rename(one + "/sub", other + "/sub")
            os.rename("tree/moving", one + "/sub")
        for pid in list(readers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                readers.remove(pid)
                check("a reader", 0, os.waitstatus_to_exitcode(status))


def gone(entries):
    held = os.open("tree/a/b/c/d/e/deep", os.O_RDONLY)
    for name, _, mode, _, _ in reversed(entries):
        (os.rmdir if stat.S_ISDIR(mode) else os.unlink)(name)
    check("unlinked and open", b"tree/", os.pread(held, 5, 0))
    os.close(held)
    for name, _, _, plain, _ in entries:
        check("removed: " + name, "ESTALE", result(open_handle, Handle.from_buffer_copy(plain), PATH_ONLY))
    os.mkdir("tree")
    for number in range(len(entries)):
        with open("tree/new-%d" % number, "w"):
            pass
    drop_caches()
    for name, _, _, plain, _ in entries:
        check("removed, and others made: " + name, "ESTALE", result(open_handle, Handle.from_buffer_copy(plain), PATH_ONLY))
    os.system("rm -r tree")


def main():
    os.chdir(sys.argv[1])
    state, what = sys.argv[2:4]
    if what == "make":
        make(state)
    else:
        with open(state, "rb") as file:
            {"again": again, "busy": busy, "gone": gone}[what](pickle.load(file))
    sys.exit(1 if failures else 0)


main()
