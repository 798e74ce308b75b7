"""File operations through system calls, each with what POSIX says about it: operations.py DIRECTORY.

Prints each failure; the exit status is 1 if there was one. Run as root it also does what only root may.
"""
import errno
import fcntl
import mmap
import os
import stat
import sys
import time

failures = []


def check(what, condition, detail=""):
    if not condition:
        failures.append(what)
        print("FAILED: %s %s" % (what, detail))


def equal(what, wanted, got):
    check(what, wanted == got, "wanted %r, got %r" % (wanted, got))


def fails(what, number, function, *arguments, **words):
    try:
        function(*arguments, **words)
    except OSError as error:
        equal(what, errno.errorcode[number], errno.errorcode.get(error.errno, error.errno))
    else:
        check(what, False, "wanted %s, got success" % errno.errorcode[number])


def write(path, data=b"", flags=0):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    try:
        return os.write(descriptor, data)
    finally:
        os.close(descriptor)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def times(path, follow=True):
    status = os.stat(path, follow_symlinks=follow)
    return status.st_mtime_ns, status.st_ctime_ns


def names():
    os.mkdir("names")
    os.chdir("names")
    fails("open of a missing name", errno.ENOENT, os.open, "x", os.O_RDONLY)
    write("x", b"1")
    fails("O_EXCL", errno.EEXIST, os.open, "x", os.O_CREAT | os.O_EXCL)
    fails("mkdir over a file", errno.EEXIST, os.mkdir, "x")
    fails("a file as a directory", errno.ENOTDIR, os.stat, "x/y")
    fails("rmdir of a file", errno.ENOTDIR, os.rmdir, "x")
    os.mkdir("d")
    fails("unlink of a directory", errno.EISDIR, os.unlink, "d")
    write("d/f")
    fails("rmdir of what has entries", errno.ENOTEMPTY, os.rmdir, "d")
    longest = "n" * 255
    write(longest, b"long")
    equal("a name of 255 bytes", b"long", read(longest))
    fails("a name of 256 bytes", errno.ENAMETOOLONG, os.stat, "n" * 256)
    fails("making one", errno.ENAMETOOLONG, os.mkdir, "n" * 256)
    for odd in (b"with space", b"new\nline", b"\xff\xfe", "größe".encode(), b"-x", b"\\", b'"', b"*", b" ", b"\x01"):
        write(odd, odd)
        equal("odd name %r" % odd, odd, read(odd))
        check("listed %r" % odd, odd in os.listdir(b"."))
        os.unlink(odd)
        fails("gone %r" % odd, errno.ENOENT, os.stat, odd)
    os.chdir("..")


def links():
    os.mkdir("links")
    os.chdir("links")
    write("a", b"shared")
    before = os.stat("a").st_ctime_ns
    time.sleep(0.002)
    os.link("a", "b")
    equal("link count", 2, os.stat("a").st_nlink)
    check("link changes ctime", os.stat("a").st_ctime_ns > before)
    equal("one inode", os.stat("a").st_ino, os.stat("b").st_ino)
    write("b", b"SHARED")
    equal("one contents", b"SHARED", read("a"))
    fails("link over a name", errno.EEXIST, os.link, "a", "b")
    os.mkdir("d")
    fails("link of a directory", errno.EPERM, os.link, "d", "e")
    os.unlink("a")
    equal("link count after unlink", 1, os.stat("b").st_nlink)
    equal("contents after unlink", b"SHARED", read("b"))
    for size in (1, 100, 511, 512, 513, 2000, 4095):
        target = "t" * size
        os.symlink(target, "s%d" % size)
        equal("symlink of %d bytes" % size, target, os.readlink("s%d" % size))
        equal("its size", size, os.lstat("s%d" % size).st_size)
    fails("a dangling symlink", errno.ENOENT, os.stat, "s100")
    os.symlink("b", "to-b")
    equal("through a symlink", b"SHARED", read("to-b"))
    os.symlink("loop", "loop")
    fails("a loop", errno.ELOOP, os.stat, "loop")
    fails("readlink of a file", errno.EINVAL, os.readlink, "b")
    equal("subdirectories count in nlink", 2, os.stat("d").st_nlink)
    os.mkdir("d/1")
    os.mkdir("d/2")
    equal("with two more", 4, os.stat("d").st_nlink)
    os.rename("d/1", "moved")
    equal("with one less", 3, os.stat("d").st_nlink)
    equal("..", os.stat(".").st_ino, os.stat("moved/..").st_ino)
    os.chdir("..")


def renames():
    os.mkdir("renames")
    os.chdir("renames")
    write("a", b"a")
    write("b", b"b")
    inode = os.stat("a").st_ino
    held = os.open("b", os.O_RDONLY)
    os.rename("a", "b")
    equal("rename over", b"a", read("b"))
    equal("keeps the inode", inode, os.stat("b").st_ino)
    equal("the one replaced lives while open", b"b", os.read(held, 9))
    equal("without links", 0, os.fstat(held).st_nlink)
    os.close(held)
    fails("the old name is gone", errno.ENOENT, os.stat, "a")
    fails("of a missing name", errno.ENOENT, os.rename, "a", "c")
    os.makedirs("d/e/f")
    fails("into itself", errno.EINVAL, os.rename, "d", "d/e/f/g")
    os.mkdir("empty")
    os.rename("empty", "d/e/f")
    check("over an empty directory", os.path.isdir("d/e/f") and not os.path.exists("empty"))
    fails("a file over a directory", errno.EISDIR, os.rename, "b", "d")
    fails("a directory over a file", errno.ENOTDIR, os.rename, "d", "b")
    os.mkdir("g")
    fails("over a directory that is not empty", errno.ENOTEMPTY, os.rename, "g", "d")
    os.link("b", "same")
    os.rename("b", "same")
    check("of two names of one file does nothing", os.path.exists("b") and os.path.exists("same"))
    os.chdir("..")


def unlinked():
    os.mkdir("unlinked")
    os.chdir("unlinked")
    descriptor = os.open("f", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(descriptor, b"x" * 100000)
    os.unlink("f")
    equal("no link", 0, os.fstat(descriptor).st_nlink)
    os.pwrite(descriptor, b"tail", 200000)
    equal("written", b"tail", os.pread(descriptor, 10, 200000))
    os.ftruncate(descriptor, 50000)
    os.fchmod(descriptor, 0o640)
    equal("size", 50000, os.fstat(descriptor).st_size)
    equal("mode", 0o640, stat.S_IMODE(os.fstat(descriptor).st_mode))
    again = os.open("/proc/self/fd/%d" % descriptor, os.O_RDONLY)
    equal("opened again", b"xxxx", os.read(again, 4))
    os.close(again)
    os.close(descriptor)
    directory = os.open(".", os.O_RDONLY)
    os.mkdir("gone")
    inside = os.open("gone", os.O_RDONLY)
    os.rmdir("gone")
    fails("making in a removed directory", errno.ENOENT, os.mkdir, "x", dir_fd=inside)
    equal("listing a removed directory", [], os.listdir(inside))
    os.close(inside)
    os.close(directory)
    os.chdir("..")


def contents():
    os.mkdir("contents")
    os.chdir("contents")
    for size in (0, 1, 100, 3839, 3840, 3841, 4096, 4097, 65536, 131071, 131072, 131073, 1000000, 3000001):
        data = os.urandom(size)
        name = "size-%d" % size
        write(name, b"")
        with open(name, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view):]
        equal("contents of %d bytes" % size, data, read(name))
        equal("size", size, os.stat(name).st_size)
        if size > 10:
            middle = size // 2
            with open(name, "r+b", buffering=0) as file:
                file.seek(middle)
                file.write(b"patched"[:size - middle])
            data = data[:middle] + b"patched"[:size - middle] + data[middle + 7:]
            equal("patched in the middle", data[:size], read(name)[:size])
            os.truncate(name, middle + 3)
            equal("cut", data[:middle + 3], read(name))
            os.truncate(name, size + 5000)
            equal("grown again with zeros", data[:middle + 3] + bytes(size + 5000 - middle - 3), read(name))
    for at in (4095, 131072, 10 << 20, (8 << 30) - 1):
        descriptor = os.open("sparse", os.O_RDWR | os.O_CREAT)
        os.pwrite(descriptor, b"mark", at)
        equal("a mark at %d" % at, b"mark", os.pread(descriptor, 10, at))
        equal("a hole before it", bytes(min(at, 4000)), os.pread(descriptor, min(at, 4000), max(0, at - 4000)))
        equal("size", at + 4, os.fstat(descriptor).st_size)
        check("takes little", os.fstat(descriptor).st_blocks <= 8192, os.fstat(descriptor).st_blocks)
        os.close(descriptor)
        os.unlink("sparse")
    write("limit")
    os.truncate("limit", 1 << 50)
    equal("truncated far", 1 << 50, os.stat("limit").st_size)
    os.unlink("limit")
    for round_number in range(100):
        write("log", b"line %03d\n" % round_number, os.O_APPEND)
    equal("appended", b"".join(b"line %03d\n" % n for n in range(100)), read("log"))
    write("log", b"new", os.O_TRUNC)
    equal("O_TRUNC", b"new", read("log"))
    os.mkdir("d")
    fails("truncate of a directory", errno.EISDIR, os.truncate, "d", 0)
    fails("write to a directory", errno.EISDIR, os.open, "d", os.O_WRONLY)
    os.chdir("..")


def mapped():
    write("map", b"m" * 10000)
    with open("map", "r+b") as file:
        with mmap.mmap(file.fileno(), 0) as memory:
            equal("mapped", b"mmmm", memory[5000:5004])
            memory[5000:5004] = b"MMMM"
            memory.flush()
        equal("stored", b"mMMMMm", os.pread(file.fileno(), 6, 4999))
    equal("read by another", b"mMMMMm", read("map")[4999:5005])


def attributes():
    os.mkdir("attributes")
    os.chdir("attributes")
    write("f", b"1")
    os.utime("f", ns=(1234567890123456789, 987654321987654321))
    equal("atime", 1234567890123456789, os.stat("f").st_atime_ns)
    equal("mtime", 987654321987654321, os.stat("f").st_mtime_ns)
    os.utime("f", ns=(-5000000001, 0))
    equal("before 1970", -5000000001, os.stat("f").st_atime_ns)

    def changes(what, wanted, path, function, *arguments):
        """wanted: 'm' and 'c', the times that change."""
        before = times(path)
        time.sleep(0.003)
        function(*arguments)
        after = times(path)
        equal(what, wanted, ("m" if after[0] != before[0] else "") + ("c" if after[1] != before[1] else ""))

    changes("write", "mc", "f", write, "f", b"2")
    changes("chmod", "c", "f", os.chmod, "f", 0o600)
    changes("truncate", "mc", "f", os.truncate, "f", 10)
    changes("truncate to the same size", "mc", "f", os.truncate, "f", 10)
    changes("rename: of the directory", "mc", ".", os.rename, "f", "g")
    os.rename("g", "h")
    changes("link: of the directory", "mc", ".", os.link, "h", "i")
    changes("unlink: of the directory", "mc", ".", os.unlink, "i")
    changes("mkdir: of the parent", "mc", ".", os.mkdir, "d")
    changes("rmdir: of the parent", "mc", ".", os.rmdir, "d")
    changes("read", "", "h", read, "h")
    changes("create: of the directory", "mc", ".", write, "n")
    changes("opening what exists", "", ".", write, "n")
    now = time.time_ns()
    os.utime("h")
    check("utime now", abs(os.stat("h").st_mtime_ns - now) < 5e9)
    mask = os.umask(0o027)
    write("masked")
    os.mkdir("masked-directory")
    os.umask(mask)
    equal("umask", 0o640, stat.S_IMODE(os.stat("masked").st_mode))
    equal("umask of a directory", 0o750, stat.S_IMODE(os.stat("masked-directory").st_mode))
    equal("a directory is empty at first", [], os.listdir("masked-directory"))
    equal("blocks of a file", 256, (write("blocks", bytes(131072)), os.stat("blocks").st_blocks)[1])
    space = os.statvfs(".")
    equal("longest name", 255, space.f_namemax)
    check("space", 0 < space.f_bavail <= space.f_bfree <= space.f_blocks)
    os.chdir("..")


def special():
    os.mkdir("special")
    os.chdir("special")
    os.mkfifo("fifo", 0o600)
    check("a fifo", stat.S_ISFIFO(os.stat("fifo").st_mode))
    import socket
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        check("a socket", stat.S_ISSOCK(os.stat("socket").st_mode))
    if os.geteuid() == 0:
        for kind, is_kind in ((stat.S_IFCHR, stat.S_ISCHR), (stat.S_IFBLK, stat.S_ISBLK)):
            for device in (os.makedev(1, 3), os.makedev(259, 77777), os.makedev(4095, 1048575)):
                name = "device-%o-%d" % (kind, device)
                os.mknod(name, kind | 0o600, device)
                status = os.stat(name)
                check("a device", is_kind(status.st_mode))
                equal("its number", (os.major(device), os.minor(device)),
                      (os.major(status.st_rdev), os.minor(status.st_rdev)))
        os.mkdir("group")
        os.chown("group", 0, 77)
        os.chmod("group", 0o2775)
        write("group/f")
        os.mkdir("group/d")
        equal("group of a file in a set-gid directory", 77, os.stat("group/f").st_gid)
        equal("and of a directory", (77, 0o2000), (os.stat("group/d").st_gid, os.stat("group/d").st_mode & 0o2000))
        write("owned", b"x")
        os.chmod("owned", 0o6755)
        os.chown("owned", 11, 22)
        status = os.stat("owned")
        equal("owner", (11, 22), (status.st_uid, status.st_gid))
        equal("chown clears set-id", 0o755, stat.S_IMODE(status.st_mode))
    os.mknod("plain", stat.S_IFREG | 0o600)
    check("a plain file by mknod", stat.S_ISREG(os.stat("plain").st_mode))
    os.chdir("..")


def locks():
    write("lock")
    with open("lock", "r+b") as one, open("lock", "r+b") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        fails("flock", errno.EAGAIN, fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)


def syncs():
    descriptor = os.open("synced", os.O_RDWR | os.O_CREAT | os.O_SYNC)
    os.write(descriptor, b"x")
    os.fsync(descriptor)
    os.fdatasync(descriptor)
    os.close(descriptor)
    directory = os.open(".", os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


os.chdir(sys.argv[1])
for part in (names, links, renames, unlinked, contents, mapped, attributes, special, locks, syncs):
    try:
        part()
    except OSError as problem:
        failures.append(part.__name__)
        print("FAILED: %s: line %d: %s" % (part.__name__, problem.__traceback__.tb_next.tb_lineno, problem))
        os.chdir(sys.argv[1])
sys.exit(1 if failures else 0)
