"""File handles. As a program, handles.py WHO HANDLES: opens what test-posix-names left there, in a new mount, where it is."""
import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
CONNECTABLE = 2  # AT_HANDLE_CONNECTABLE, Linux 6.13: with the parent, so that a file gets its path back


class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]


def handle_of(name, flags=0):
    handle = Handle(size=128)
    mount_id = ctypes.c_int()
    if libc.name_to_handle_at(AT_FDCWD, os.fsencode(name), ctypes.byref(handle), ctypes.byref(mount_id), flags) != 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return handle


def open_handle(handle, flags=os.O_RDONLY):
    """On the mount that the current directory is in."""
    here = os.open(".", os.O_RDONLY)
    descriptor = libc.open_by_handle_at(here, ctypes.byref(handle), flags)
    number = ctypes.get_errno()
    os.close(here)
    if descriptor < 0:
        raise OSError(number, os.strerror(number))
    return descriptor


def drop_caches(who="root"):
    """Only the machine's root can; for others a remount has to do."""
    if who == "root":
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("2")


def main():
    with open(sys.argv[2], "rb") as file:
        handles = [Handle.from_buffer_copy(file.read(ctypes.sizeof(Handle))) for _ in range(5)]
    if sys.argv[1] == "root":
        descriptor = open_handle(handles[0])
        assert os.read(descriptor, 100) == b"by handle"
        os.close(descriptor)
        drop_caches()
    descriptor = open_handle(handles[1], os.O_RDONLY | os.O_DIRECTORY)
    assert os.listdir(descriptor) == ["file"]
    assert os.readlink("/proc/self/fd/%d" % descriptor).endswith("/elsewhere/er/still")
    try:
        open_handle(handles[4], os.O_RDONLY | os.O_DIRECTORY)
        raise AssertionError("opened what was removed")
    except OSError as error:
        assert error.errno == errno.ESTALE, error


if __name__ == "__main__":
    main()
