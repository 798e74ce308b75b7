#!/usr/bin/env python3
"""pattern.py write|compare FILE SIZE SEED [sparse]

Fills a file with bytes that depend on place and seed, or compares it with them. sparse: every second 16 MiB are left out (a hole,
zeros). Works in pieces of 1 MiB; every 4 KiB block holds its own number, so that a block in the wrong place is noticed.
"""

import os
import random
import struct
import sys

PIECE = 1 << 20
HOLE = 16 << 20


def pieces(size, seed, sparse):
    """(offset, bytes) of the whole file; holes as None."""
    block = bytearray(random.Random(seed).randbytes(PIECE))
    zeros = bytes(PIECE)
    for offset in range(0, size, PIECE):
        length = min(PIECE, size - offset)
        if sparse and (offset // HOLE) % 2 == 1:
            yield offset, zeros[:length], True
            continue
        for inside in range(0, PIECE, 4096):
            struct.pack_into("<QQ", block, inside, offset + inside, seed)
        yield offset, memoryview(block)[:length], False


def write(path, size, seed, sparse):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    for offset, data, hole in pieces(size, seed, sparse):
        if not hole and os.pwrite(descriptor, data, offset) != len(data):
            sys.exit("short write at %d" % offset)
    os.ftruncate(descriptor, size)
    os.fsync(descriptor)
    os.close(descriptor)


def compare(path, size, seed, sparse):
    descriptor = os.open(path, os.O_RDONLY)
    found = os.fstat(descriptor).st_size
    if found < size:
        sys.exit("%s: %d bytes instead of %d" % (path, found, size))
    for offset, data, _ in pieces(size, seed, sparse):
        there = os.pread(descriptor, len(data), offset)
        if there != bytes(data):
            place = next((index for index in range(len(there)) if there[index] != data[index]), len(there))
            sys.exit("%s: differs at byte %d" % (path, offset + place))
    os.close(descriptor)


def main():
    what, path, size, seed = sys.argv[1:5]
    sparse = "sparse" in sys.argv[5:]
    {"write": write, "compare": compare}[what](path, int(size), int(seed), sparse)


if __name__ == "__main__":
    main()
