"""Extended attributes, file capabilities and ACLs as programs see them.

usage: xattr_calls.py DIRECTORY xattr|acl|noacl [LIMITS]

What is expected is what ext4 does, so the same calls are also run there. LIMITS: those beyond ext4's too. As an ordinary
user, it leaves out what only root may do, after a look that it is refused.
"""
import errno
import os
import stat
import struct
import sys
import time

CLOCK_REALTIME_COARSE = 5
failures = 0
USER = 1000
ROOT = os.geteuid() == 0


def expect(what, wanted, got):
    global failures
    if wanted != got:
        failures += 1
        print("FAILED: %s: wanted %r, got %r" % (what, wanted, got))


def result(function, *arguments, **options):
    """What a call returns, or the name of its error."""
    try:
        return function(*arguments, **options)
    except OSError as error:
        return errno.errorcode[error.errno]


def as_user(function, *arguments, uid=USER, gid=USER, groups=()):
    """The result of a call made by an ordinary user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        try:
            text = repr(result(function, *arguments))
        except BaseException as error:
            text = repr("raised %r" % error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return eval(text)


def touch(name, mode=0o644, data=b""):
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.write(descriptor, data)
    os.close(descriptor)


# --- Extended attributes


def calls():
    touch("file")
    os.mkdir("directory")
    for name in ("file", "directory"):
        expect("none yet", [], os.listxattr(name))
        expect("get none", "ENODATA", result(os.getxattr, name, "user.a"))
        expect("remove none", "ENODATA", result(os.removexattr, name, "user.a"))
        expect("replace none", "ENODATA", result(os.setxattr, name, "user.a", b"1", os.XATTR_REPLACE))
        expect("create", None, result(os.setxattr, name, "user.a", b"1", os.XATTR_CREATE))
        expect("create again", "EEXIST", result(os.setxattr, name, "user.a", b"2", os.XATTR_CREATE))
        expect("replace", None, result(os.setxattr, name, "user.a", b"\0two\0", os.XATTR_REPLACE))
        expect("get", b"\0two\0", os.getxattr(name, "user.a"))
        expect("empty", None, result(os.setxattr, name, "user.empty", b""))
        expect("get empty", b"", os.getxattr(name, "user.empty"))
        for space in ("trusted.a", "security.a"):
            expect(space, None if ROOT else "EPERM", result(os.setxattr, name, space, b"x"))
        expect("list", (["security.a", "trusted.a"] if ROOT else []) + ["user.a", "user.empty"], sorted(os.listxattr(name)))
        for bad in ("none", "other.a", "system.a", "User.a"):
            expect("set " + bad, "ENOTSUP", result(os.setxattr, name, bad, b"1"))
            expect("get " + bad, "ENOTSUP", result(os.getxattr, name, bad))
            expect("remove " + bad, "ENOTSUP", result(os.removexattr, name, bad))
        for bad in ("user.", "trusted.", "security."):
            expect("set " + bad, "EINVAL" if ROOT or bad == "user." else "EPERM", result(os.setxattr, name, bad, b"1"))
        expect("a name of 255 bytes", None, result(os.setxattr, name, "user." + "n" * 250, b"long"))
        expect("its value", b"long", os.getxattr(name, "user." + "n" * 250))
        expect("a name of 256 bytes", "ERANGE", result(os.setxattr, name, "user." + "n" * 251, b"long"))
        expect("a value too large", "E2BIG", result(os.setxattr, name, "user.b", bytes(65537)))
        expect("remove", None, result(os.removexattr, name, "user.a"))
        expect("gone", "ENODATA", result(os.getxattr, name, "user.a"))


def tick():
    """Until the clock that older kernels take ext4's times from has moved on."""
    before = time.clock_gettime_ns(CLOCK_REALTIME_COARSE)
    while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) == before:
        pass


def times():
    touch("times")
    before = os.stat("times")
    tick()
    os.setxattr("times", "user.a", b"1")
    after = os.stat("times")
    tick()
    expect("ctime of setxattr", True, after.st_ctime_ns > before.st_ctime_ns)
    expect("mtime of setxattr", before.st_mtime_ns, after.st_mtime_ns)
    os.removexattr("times", "user.a")
    expect("ctime of removexattr", True, os.stat("times").st_ctime_ns > after.st_ctime_ns)


def types():
    os.symlink("file", "symlink")
    os.mkfifo("fifo")
    os.mknod("socket", stat.S_IFSOCK | 0o644)
    if ROOT:
        os.mknod("device", stat.S_IFCHR | 0o644, os.makedev(1, 3))
    for name in ("symlink", "fifo", "socket") + (("device",) if ROOT else ()):
        follow = {"follow_symlinks": False}
        expect("user. of " + name, "EPERM", result(os.setxattr, name, "user.a", b"1", **follow))
        expect("user. of " + name, "ENODATA", result(os.getxattr, name, "user.a", **follow))
        expect("trusted. of " + name, None if ROOT else "EPERM", result(os.setxattr, name, "trusted.a", b"1", **follow))
        expect("trusted. of " + name, b"1" if ROOT else "ENODATA", result(os.getxattr, name, "trusted.a", **follow))
        expect("list of " + name, ["trusted.a"] if ROOT else [], os.listxattr(name, **follow))


def users():
    touch("own")
    os.chown("own", USER, USER)
    touch("others", 0o644)
    os.setxattr("others", "user.a", b"1")
    os.setxattr("own", "trusted.a", b"1")
    os.setxattr("own", "security.a", b"1")
    expect("user. of one's own", None, as_user(os.setxattr, "own", "user.a", b"2"))
    expect("list", ["security.a", "user.a"], sorted(as_user(os.listxattr, "own")))
    expect("trusted.", "ENODATA", as_user(os.getxattr, "own", "trusted.a"))
    expect("set trusted.", "EPERM", as_user(os.setxattr, "own", "trusted.a", b"2"))
    expect("set security.", "EPERM", as_user(os.setxattr, "own", "security.a", b"2"))
    expect("get security.", b"1", as_user(os.getxattr, "own", "security.a"))
    expect("user. of another's", "EACCES", as_user(os.setxattr, "others", "user.a", b"2"))
    expect("read another's", b"1", as_user(os.getxattr, "others", "user.a"))
    os.chmod("others", 0o600)
    expect("read what can't be read", "EACCES", as_user(os.getxattr, "others", "user.a"))
    os.mkdir("sticky", 0o777)
    os.chmod("sticky", 0o1777)
    expect("user. of another's sticky directory", "EPERM", as_user(os.setxattr, "sticky", "user.a", b"1"))
    os.chown("sticky", USER, USER)
    expect("of one's own", None, as_user(os.setxattr, "sticky", "user.a", b"1"))


def lives():
    """Attributes belong to the inode."""
    touch("first")
    os.setxattr("first", "user.a", b"1")
    os.link("first", "second")
    os.rename("first", "third")
    expect("through another name", b"1", os.getxattr("second", "user.a"))
    descriptor = os.open("third", os.O_RDWR)
    os.unlink("second")
    os.unlink("third")
    expect("without a name", b"1", os.getxattr(descriptor, "user.a"))
    expect("set without a name", None, result(os.setxattr, descriptor, "user.b", b"2"))
    expect("list without a name", ["user.a", "user.b"], sorted(os.listxattr(descriptor)))
    os.close(descriptor)


def limits():
    touch("large")
    value = os.urandom(65536)
    expect("64 KiB", None, result(os.setxattr, "large", "user.large", value))
    expect("64 KiB back", True, os.getxattr("large", "user.large") == value)
    expect("64 KiB more", None, result(os.setxattr, "large", "trusted.large" if ROOT else "user.second", value[::-1]))
    expect("shorter", None, result(os.setxattr, "large", "user.large", value[:20000]))
    expect("shorter back", True, os.getxattr("large", "user.large") == value[:20000])
    touch("many")
    names = ["user.%059d" % number for number in range(1008)]  # of 64 bytes each; the list of 1024 is full
    for name in names:
        os.setxattr("many", name, name.encode())
    expect("1008 names", names, sorted(os.listxattr("many")))
    count = 1008
    while count < 2000 and result(os.setxattr, "many", "user.%059d" % count, b"") is None:
        count += 1
    expect("names of 64 bytes, each with its zero", 65536 // 65, count)
    expect("one more", "ENOSPC", result(os.setxattr, "many", "user.%059d" % 5000, b""))
    expect("all of them", count, len(os.listxattr("many")))
    os.unlink("large")


# --- File capabilities

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw, effective


def loses_capability(what, wanted, function, by_user=False):
    name = "capable"
    touch(name, 0o777, b"#" * 8192)
    os.chmod(name, 0o777)
    expect("set the capability", None, result(os.setxattr, name, "security.capability", CAPABILITY))
    expect(what, None, as_user(function, name) if by_user else result(function, name))
    expect(what + ": the capability", wanted, result(os.getxattr, name, "security.capability"))
    expect(what + ": it is listed", [] if wanted == "ENODATA" else ["security.capability"], os.listxattr(name))
    os.unlink(name)


def capabilities():
    def with_open(flags, function):
        def call(name):
            descriptor = os.open(name, flags)
            try:
                function(descriptor)
            finally:
                os.close(descriptor)
        return call

    def write_twice(descriptor):
        os.write(descriptor, b"one")
        os.setxattr(descriptor, "security.capability", CAPABILITY)
        os.write(descriptor, b"two")

    def map_write(descriptor):
        import mmap
        with mmap.mmap(descriptor, 4096) as mapping:
            mapping[:5] = b"store"
            mapping.flush()

    def copy(descriptor):
        with open("source", "rb") as source:
            os.copy_file_range(source.fileno(), descriptor, 8192)

    touch("source", data=b"s" * 8192)
    for by_user in (False, True):
        who = " by a user" if by_user else " by root"
        loses_capability("write" + who, "ENODATA", with_open(os.O_WRONLY, lambda fd: os.write(fd, b"x") and None), by_user)
        loses_capability("append" + who, "ENODATA",
                         with_open(os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"x") and None), by_user)
        loses_capability("O_TRUNC" + who, "ENODATA", with_open(os.O_WRONLY | os.O_TRUNC, lambda fd: None), by_user)
        loses_capability("truncate" + who, "ENODATA", lambda name: os.truncate(name, 5), by_user)
        loses_capability("fallocate" + who, "ENODATA", with_open(os.O_RDWR, lambda fd: os.posix_fallocate(fd, 0, 20000)),
                         by_user)
        loses_capability("copy_file_range" + who, "ENODATA", with_open(os.O_WRONLY, copy), by_user)
        loses_capability("a read" + who, CAPABILITY, with_open(os.O_RDONLY, lambda fd: os.read(fd, 10) and None), by_user)
    loses_capability("a second write", "ENODATA", with_open(os.O_WRONLY, write_twice))
    loses_capability("a store through a mapping", CAPABILITY, with_open(os.O_RDWR, map_write))
    loses_capability("chown", "ENODATA", lambda name: os.chown(name, USER, -1))
    loses_capability("chgrp", "ENODATA", lambda name: os.chown(name, -1, USER))
    loses_capability("chmod", CAPABILITY, lambda name: os.chmod(name, 0o700))
    loses_capability("rename", CAPABILITY, lambda name: (os.rename(name, "x"), os.rename("x", name)) and None)
    os.unlink("source")


# --- ACLs

OWNER, NAMED_USER, GROUP, NAMED_GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def acl(*entries):
    """Of (tag, permissions) or (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", entry[0], entry[1], entry[2] if len(entry) > 2 else 0xFFFFFFFF) for entry in entries)


def mode(name):
    return oct(os.lstat(name).st_mode & 0o7777)


def acls_refused():
    touch("file")
    os.mkdir("directory")
    value = acl((OWNER, 7), (NAMED_USER, 7, USER), (GROUP, 5), (MASK, 7), (OTHERS, 5))
    for name in (ACCESS, DEFAULT):
        expect("set " + name, "ENOTSUP", result(os.setxattr, "directory", name, value))
        expect("get " + name, "ENOTSUP", result(os.getxattr, "directory", name))
    old = os.umask(0o027)
    touch("masked", 0o666)
    os.umask(old)
    expect("umask", "0o640", mode("masked"))


def acls():
    full = acl((OWNER, 7), (NAMED_USER, 7, USER), (GROUP, 5), (NAMED_GROUP, 4, 7), (MASK, 6), (OTHERS, 1))
    touch("file")
    os.mkdir("directory")
    os.symlink("file", "symlink")
    expect("none", "ENODATA", result(os.getxattr, "file", ACCESS))
    expect("set", None, result(os.setxattr, "file", ACCESS, full))
    expect("get", full, os.getxattr("file", ACCESS))
    expect("list", [ACCESS], os.listxattr("file"))
    expect("mode", "0o761", mode("file"))
    os.chmod("file", 0o4642)
    expect("after chmod", acl((OWNER, 6), (NAMED_USER, 7, USER), (GROUP, 5), (NAMED_GROUP, 4, 7), (MASK, 4), (OTHERS, 2)),
           os.getxattr("file", ACCESS))
    expect("mode after chmod", "0o4642", mode("file"))
    expect("no more than a mode", None, result(os.setxattr, "file", ACCESS, acl((OWNER, 7), (GROUP, 5), (OTHERS, 0))))
    expect("is not kept", "ENODATA", result(os.getxattr, "file", ACCESS))
    expect("but is the mode", "0o4750", mode("file"))
    expect("remove none", None, result(os.removexattr, "file", ACCESS))
    expect("default for a file", "EACCES", result(os.setxattr, "file", DEFAULT, full))
    expect("for a symlink", "ENOTSUP", result(os.setxattr, "symlink", ACCESS, full, follow_symlinks=False))
    for what, bad in (("no mask", acl((OWNER, 7), (NAMED_USER, 7, 5), (GROUP, 5), (OTHERS, 1))),
                      ("no owner", acl((GROUP, 5), (OTHERS, 1))),
                      ("no others", acl((OWNER, 7), (GROUP, 5))),
                      ("order", acl((GROUP, 5), (OWNER, 7), (OTHERS, 1))),
                      ("twice", acl((OWNER, 7), (OWNER, 7), (GROUP, 5), (OTHERS, 1))),
                      ("permissions", acl((OWNER, 15), (GROUP, 5), (OTHERS, 1))),
                      ("tag", acl((OWNER, 7), (GROUP, 5), (64, 5), (OTHERS, 1))),
                      ("size", acl((OWNER, 7), (GROUP, 5), (OTHERS, 1)) + b"x")):
        expect(what, "EINVAL", result(os.setxattr, "file", ACCESS, bad))
    expect("mode after all that", "0o4750", mode("file"))


def acl_checks():
    """Who may, by the ACL."""
    touch("secret", 0o600, b"secret")

    def read(name):
        with open(name, "rb") as file:
            return file.read()

    expect("without an ACL", "EACCES", as_user(read, "secret"))
    os.setxattr("secret", ACCESS, acl((OWNER, 6), (NAMED_USER, 4, USER), (GROUP, 0), (MASK, 4), (OTHERS, 0)))
    expect("with one", b"secret", as_user(read, "secret"))
    expect("another user", "EACCES", as_user(read, "secret", uid=1001, gid=1001))
    os.chmod("secret", 0o600)
    expect("masked", "EACCES", as_user(read, "secret"))
    os.chmod("secret", 0o640)
    expect("unmasked", b"secret", as_user(read, "secret"))
    os.setxattr("secret", ACCESS, acl((OWNER, 6), (NAMED_USER, 0, USER), (GROUP, 4), (NAMED_GROUP, 4, 7), (MASK, 4), (OTHERS, 4)))
    expect("denied by name", "EACCES", as_user(read, "secret"))
    expect("by group", b"secret", as_user(read, "secret", uid=1001, gid=1001, groups=(7,)))
    expect("set by another", "EPERM", as_user(os.setxattr, "secret", ACCESS, acl((OWNER, 7), (GROUP, 7), (OTHERS, 7))))


def acl_inheritance():
    default = acl((OWNER, 7), (NAMED_USER, 6, USER), (GROUP, 5), (MASK, 7), (OTHERS, 1))
    os.mkdir("parent", 0o755)
    expect("default", None, result(os.setxattr, "parent", DEFAULT, default))
    expect("mode stays", "0o755", mode("parent"))
    old = os.umask(0o777)
    touch("parent/file", 0o646)
    os.mkdir("parent/directory", 0o777)
    os.mkfifo("parent/fifo", 0o666)
    os.symlink("file", "parent/symlink")
    os.umask(old)
    expect("file", "0o640", mode("parent/file"))
    expect("its ACL", acl((OWNER, 6), (NAMED_USER, 6, USER), (GROUP, 5), (MASK, 4), (OTHERS, 0)),
           os.getxattr("parent/file", ACCESS))
    expect("its names", [ACCESS], os.listxattr("parent/file"))
    expect("directory", "0o771", mode("parent/directory"))
    expect("its ACL", default, os.getxattr("parent/directory", ACCESS))
    expect("its default ACL", default, os.getxattr("parent/directory", DEFAULT))
    expect("fifo", "0o660", mode("parent/fifo"))
    expect("symlink", [], os.listxattr("parent/symlink", follow_symlinks=False))
    os.setxattr("parent", DEFAULT, acl((OWNER, 6), (GROUP, 4), (OTHERS, 0)))
    touch("parent/plain", 0o777)
    expect("a default ACL like a mode", "0o640", mode("parent/plain"))
    expect("leaves none", [], os.listxattr("parent/plain"))
    expect("remove", None, result(os.removexattr, "parent", DEFAULT))
    old = os.umask(0o027)
    touch("parent/after", 0o666)
    os.umask(old)
    expect("then the umask counts", "0o640", mode("parent/after"))


def acl_set_gid():
    """S_ISGID stays for members of the group only."""
    some = acl((OWNER, 7), (NAMED_USER, 7, 5), (GROUP, 7), (MASK, 7), (OTHERS, 5))
    for what, groups, wanted in (("a member", (7,), "0o2775"), ("no member", (), "0o775")):
        touch("group", 0o755)
        os.chown("group", USER, 7)
        os.chmod("group", 0o2755)
        expect(what, None, as_user(lambda: os.setxattr("group", ACCESS, some), groups=groups))
        expect(what + ": mode", wanted, mode("group"))
        os.unlink("group")
    os.mkdir("shared", 0o777)
    os.chown("shared", 0, 7)
    os.chmod("shared", 0o2777)
    os.setxattr("shared", DEFAULT, acl((OWNER, 7), (NAMED_USER, 7, 5), (GROUP, 7), (MASK, 7), (OTHERS, 7)))
    expect("create by no member", None, as_user(touch, "shared/file", 0o2775))
    expect("loses the bit", "0o775", mode("shared/file"))
    expect("mkdir", None, as_user(os.mkdir, "shared/directory", 0o755))
    expect("inherits the bit", "0o2755", mode("shared/directory"))
    expect("group", 7, os.stat("shared/directory").st_gid)


PARTS = {"xattr": (calls, times, types, users, lives, capabilities),
         "acl": (acls, acl_checks, acl_inheritance, acl_set_gid),
         "noacl": (acls_refused,)}
ROOTS = (users, capabilities, acl_checks, acl_set_gid)  # other users, and what they may not


def main():
    os.umask(0o022)
    os.chdir(sys.argv[1])
    for part in PARTS[sys.argv[2]] + ((limits,) if "LIMITS" in sys.argv else ()):
        if part in ROOTS and not ROOT:
            continue
        os.mkdir(part.__name__, 0o755)
        os.chdir(part.__name__)
        part()
        os.chdir("..")
    sys.exit(1 if failures else 0)


main()
