"""Lists a directory slowly, with few entries at a time: lister.py DIRECTORY BUFFER_BYTES PAUSE_MS.

Python's own listing takes everything at once; this calls getdents64 and prints each name, escaped, on a line of its own.
With PAUSE_MS it waits after each call, so that others can change the directory meanwhile.
"""
import ctypes
import os
import struct
import sys
import time

GETDENTS64 = {"x86_64": 217, "aarch64": 61}[os.uname().machine]


def batches(descriptor, size):
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(size)
    while True:
        count = library.syscall(GETDENTS64, descriptor, buffer, size)
        if count < 0:
            raise OSError(ctypes.get_errno(), "getdents64")
        if count == 0:
            return
        names = []
        offset = 0
        while offset < count:
            (length,) = struct.unpack_from("<H", buffer, offset + 16)
            names.append(buffer.raw[offset + 19:offset + length].split(b"\0", 1)[0])
            offset += length
        yield names


def main():
    directory, size, pause_ms = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for names in batches(descriptor, size):
        for name in names:
            print(name.decode("latin-1").encode("unicode_escape").decode())
        sys.stdout.flush()
        time.sleep(pause_ms / 1000)


try:
    main()
except BrokenPipeError:
    os._exit(0)  # whoever reads has seen enough
