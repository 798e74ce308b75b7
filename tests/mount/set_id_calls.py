"""What set-id bits and file capabilities become when contents or owner change, by who asks and how.

usage: set_id_calls.py DIRECTORY [FUSE]

Run as root, with libcap's setcap and util-linux' setpriv. What is expected is Linux's rule, so the same calls are also
made on ext4. Of the mode before: S_ISUID goes, S_ISGID goes where the group may execute, or where the caller is not in
the file's group, unless the caller has CAP_FSETID; a chown takes S_ISUID from anybody's. Capabilities always go.
FUSE: without the cases that differ there, since no request says what they depend on (is_told).
"""
import ctypes
import errno
import json
import mmap
import os
import stat
import subprocess
import sys

OWNER = 1000
FOREIGN = 1234
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE = 1, 2, 16
libc = ctypes.CDLL(None, use_errno=True)

# Who: how setpriv makes them; whether they have CAP_FSETID; their groups (None: all that matter).
CALLERS = {
    "root": ([], True),
    "root without CAP_FSETID": (["--bounding-set=-fsetid", "--inh-caps=-fsetid"], False),
    "owner": (["--reuid=1000", "--regid=1000", "--clear-groups"], False),
    "owner in the foreign group": (["--reuid=1000", "--regid=1000", "--groups=1234"], False),
    "owner with CAP_FSETID": (
        ["--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=+fsetid", "--ambient-caps=+fsetid"], True),
}
MODES = (0o6755, 0o4755, 0o2755, 0o2745, 0o6745, 0o755)


def fallocate(name, mode, offset, size):
    descriptor = os.open(name, os.O_WRONLY)
    if libc.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(size)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")
    os.close(descriptor)


def write(name, flags=0, data=b"x" * 10):
    descriptor = os.open(name, os.O_WRONLY | flags)
    os.write(descriptor, data)
    os.close(descriptor)


def write_direct(name):
    descriptor = os.open(name, os.O_WRONLY | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    os.writev(descriptor, [page])
    os.close(descriptor)


def write_twice(name):
    descriptor = os.open(name, os.O_WRONLY)
    os.write(descriptor, b"x")
    os.write(descriptor, b"y")
    os.close(descriptor)


def copy(name):
    descriptor = os.open(name, os.O_RDWR)
    os.copy_file_range(descriptor, descriptor, 100, 0, 5000)
    os.close(descriptor)


def store(name):
    descriptor = os.open(name, os.O_RDWR)
    with mmap.mmap(descriptor, 4096) as mapping:
        mapping[0] = 7
        mapping.flush()
    os.close(descriptor)


# Call: what it does, and to what it counts.
CALLS = {
    "write": (write, "contents"),
    "append": (lambda name: write(name, os.O_APPEND), "contents"),
    "write through": (lambda name: write(name, os.O_SYNC), "contents"),
    "direct write": (write_direct, "contents"),
    "two writes": (write_twice, "contents"),
    "write nothing": (lambda name: write(name, 0, b""), "nothing"),
    "open with O_TRUNC": (lambda name: os.close(os.open(name, os.O_WRONLY | os.O_TRUNC)), "contents"),
    "truncate": (lambda name: os.truncate(name, 100), "contents"),
    "extend": (lambda name: os.truncate(name, 100000), "contents"),
    "truncate to the same": (lambda name: os.truncate(name, 10000), "contents"),
    "fallocate": (lambda name: fallocate(name, 0, 0, 50000), "contents"),
    "keep size": (lambda name: fallocate(name, FALLOC_FL_KEEP_SIZE, 0, 50000), "contents"),
    "punch": (lambda name: fallocate(name, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), "contents"),
    "zero": (lambda name: fallocate(name, FALLOC_FL_ZERO_RANGE, 0, 4096), "contents"),
    "copy_file_range": (copy, "contents"),
    "store through a mapping": (store, "nothing"),
    "chown to the same": (lambda name: os.chown(name, OWNER, -1), "owner"),
    "chown nothing": (lambda name: os.chown(name, -1, -1), "owner"),
    "read": (lambda name: open(name, "rb").read(), "nothing"),
    "utimes": (lambda name: os.utime(name), "nothing"),
}


def wanted_mode(mode, kind, keeps, is_member):
    if kind == "nothing" or (kind == "contents" and keeps):
        return mode
    wanted = mode & ~stat.S_ISUID
    if mode & stat.S_IXGRP or not (is_member or keeps):
        wanted &= ~stat.S_ISGID
    return wanted


def cases(caller):
    for call, (_, kind) in CALLS.items():
        for mode in MODES:
            for group in (OWNER, FOREIGN):
                for capable in (False, True):
                    if is_fuse and not is_told(caller, call, kind, mode, capable):
                        continue
                    if mode & 0o010 == 0 or group == OWNER:
                        yield call, kind, mode, group, capable


def is_told(caller, call, kind, mode, capable):
    """Whether a FUSE filesystem is told enough."""
    if call == "chown nothing":  # comes as the notice before a write
        return False
    if caller in ("root", "owner", "owner in the foreign group"):
        return True
    # Who has CAP_FSETID that is not root, or has not and is, is told with WRITE and truncation only.
    if kind == "owner":
        return mode & 0o2010 != 0o2000
    is_range = call in ("fallocate", "keep size", "punch", "zero", "copy_file_range")
    return not (is_range and capable)


def name_of(caller, call, mode, group, capable):
    return "%s %s %o %d %d" % (caller, call, mode, group, capable)


def perform(caller):
    """In a process that is the caller: what each call answers and leaves, as the caller sees it at once."""
    seen = {}
    for call, kind, mode, group, capable in cases(caller):
        name = name_of(caller, call, mode, group, capable)
        try:
            CALLS[call][0](name)
            seen[name] = "%o" % stat.S_IMODE(os.stat(name).st_mode)
        except OSError as error:
            seen[name] = errno.errorcode[error.errno]
    print(json.dumps(seen))


def main():
    capability = bytes.fromhex("0100000200000000000000000000000000000000")
    failures = count = 0
    for caller, (privileges, keeps) in CALLERS.items():
        names = {}
        for call, kind, mode, group, capable in cases(caller):
            name = name_of(caller, call, mode, group, capable)
            with open(name, "wb") as file:
                file.write(b"t" * 10000)
            os.chown(name, OWNER, group)
            os.chmod(name, mode)
            if capable:
                os.setxattr(name, "security.capability", capability)
            is_member = caller.startswith("owner") and (group == OWNER or "foreign" in caller)
            names[name] = "%o" % wanted_mode(mode, kind, keeps, is_member), kind, capable
        command = [sys.executable, os.path.abspath(__file__), "--as", caller] + sys.argv[2:]
        output = subprocess.run(["setpriv"] + privileges + command, stdout=subprocess.PIPE, check=True).stdout
        seen = json.loads(output)
        for name, (wanted, kind, capable) in names.items():
            count += 1
            left = "%o" % stat.S_IMODE(os.stat(name).st_mode)
            has_capability = "security.capability" in os.listxattr(name)
            wants_capability = capable and kind == "nothing"
            if seen[name] != wanted or left != wanted or has_capability != wants_capability:
                failures += 1
                print("FAILED: %s: wanted %s, the caller sees %s, left is %s; capability %s" %
                      (name, wanted, seen[name], left, has_capability))
            os.unlink(name)
    print("%d cases, %d failures" % (count, failures))
    sys.exit(failures > 0)


is_fuse = sys.argv[-1] == "FUSE"
if sys.argv[1] == "--as":
    perform(sys.argv[2])
else:
    os.chdir(sys.argv[1])
    main()
