"""Space through system calls: fallocate in all its modes, holes and data, sizes at the limit: space.py DIRECTORY.

Prints each failure; the exit status is 1 if there was one.
"""
import ctypes
import errno
import mmap
import os
import random
import sys
import time

failures = []
KEEP, PUNCH, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
BLOCK = 4096
MAX = 2**63 - 1
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def check(what, condition, detail=""):
    if not condition:
        failures.append(what)
        print("FAILED: %s %s" % (what, detail))


def equal(what, wanted, got):
    if wanted != got:
        text = "wanted %.100r, got %.100r" % (wanted, got)
        check(what, False, text)


def less(what, found, limit):
    check(what, found < limit, "%d is not below %d" % (found, limit))


def fails(what, number, function, *arguments, **words):
    try:
        function(*arguments, **words)
    except OSError as error:
        equal(what, errno.errorcode[number], errno.errorcode.get(error.errno, error.errno))
    else:
        check(what, False, "wanted %s, got success" % errno.errorcode[number])


def fallocate(descriptor, mode, offset, size):
    if libc.fallocate(descriptor, mode, offset, size) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def make(path, data=b""):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    if data:
        os.pwrite(descriptor, data, 0)
    return descriptor


def blocks(descriptor):
    return os.fstat(descriptor).st_blocks


def size(descriptor):
    return os.fstat(descriptor).st_size


def segments(descriptor):
    """What lseek says is data."""
    found, at = [], 0
    while True:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            equal("the end of data", errno.ENXIO, error.errno)
            return found
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        found.append((start, at))


def test_allocate(path):
    descriptor = make(path)
    fallocate(descriptor, 0, 0, 1 << 20)
    equal("allocate: size", 1 << 20, size(descriptor))
    equal("allocate: blocks", 2048, blocks(descriptor))
    equal("allocate: no data", [], segments(descriptor))
    equal("allocate: zeros", bytes(1 << 20), os.pread(descriptor, 1 << 20, 0))
    os.pwrite(descriptor, b"x", 5 * BLOCK + 1)
    equal("a write into it: data", [(5 * BLOCK, 6 * BLOCK)], segments(descriptor))
    equal("a write into it: blocks", 2048, blocks(descriptor))
    fallocate(descriptor, KEEP, 2 << 20, 1 << 20)
    equal("keep size: size", 1 << 20, size(descriptor))
    equal("keep size: blocks", 4096, blocks(descriptor))
    os.ftruncate(descriptor, 3 << 20)
    equal("grown over it: zeros", bytes(1 << 20), os.pread(descriptor, 1 << 20, 2 << 20))
    equal("grown over it: blocks", 4096, blocks(descriptor))
    os.ftruncate(descriptor, 1 << 20)
    equal("truncated: blocks", 2048, blocks(descriptor))
    fallocate(descriptor, KEEP, 1 << 20, 1 << 20)
    os.ftruncate(descriptor, 1 << 20)
    equal("truncated to the same size: blocks", 2048, blocks(descriptor))
    os.posix_fallocate(descriptor, 0, 10)
    equal("posix_fallocate within: size", 1 << 20, size(descriptor))
    os.close(descriptor)


def test_small(path):
    """A file so small that it takes no block of its own."""
    descriptor = make(path, b"a" * 1000)
    small = blocks(descriptor)
    check("a small file: blocks", 0 < small <= 8, small)
    hole = make(path + "-hole", b"")
    os.ftruncate(hole, 3000)
    equal("a small hole: blocks", 0, blocks(hole))
    os.close(hole)
    fallocate(descriptor, PUNCH | KEEP, 100, 200)
    equal("punched", b"a" * 100 + bytes(200) + b"a" * 700, os.pread(descriptor, 2000, 0))
    equal("a small file is data", [(0, 1000)], segments(descriptor))
    fallocate(descriptor, 0, 0, 500)
    equal("allocated within", 1000, size(descriptor))
    fallocate(descriptor, ZERO, 900, 200)
    equal("zeroed beyond", b"a" * 100 + bytes(200) + b"a" * 600 + bytes(200), os.pread(descriptor, 2000, 0))
    equal("zeroed beyond: size", 1100, size(descriptor))
    fallocate(descriptor, KEEP, 0, 100000)
    check("reserved: blocks", blocks(descriptor) >= 200, blocks(descriptor))
    equal("reserved: size", 1100, size(descriptor))
    equal("reserved: bytes", b"a" * 100 + bytes(200) + b"a" * 600 + bytes(200), os.pread(descriptor, 2000, 0))
    os.close(descriptor)


def test_punch_and_zero(path):
    data = random.Random(7).randbytes(64 * BLOCK)
    descriptor = make(path, data)
    equal("full: blocks", 64 * 8, blocks(descriptor))
    mapped = mmap.mmap(descriptor, len(data))
    equal("mapped", data[BLOCK:BLOCK + 10], mapped[BLOCK:BLOCK + 10])
    before = os.fstat(descriptor)
    fallocate(descriptor, PUNCH | KEEP, 10 * BLOCK + 5, 10 * BLOCK)
    data = data[:10 * BLOCK + 5] + bytes(10 * BLOCK) + data[20 * BLOCK + 5:]
    after = os.fstat(descriptor)
    check("punch: times", after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns)
    equal("punch: bytes", data, os.pread(descriptor, len(data), 0))
    equal("punch: mapped", data, mapped[:])
    equal("punch: blocks", 55 * 8, blocks(descriptor))
    equal("punch: data", [(0, 11 * BLOCK), (20 * BLOCK, 64 * BLOCK)], segments(descriptor))
    fallocate(descriptor, ZERO | KEEP, 30 * BLOCK + 1, 2 * BLOCK)
    data = data[:30 * BLOCK + 1] + bytes(2 * BLOCK) + data[32 * BLOCK + 1:]
    equal("zero: bytes", data, os.pread(descriptor, len(data), 0))
    equal("zero: blocks", 55 * 8, blocks(descriptor))
    equal("zero: data", [(0, 11 * BLOCK), (20 * BLOCK, 31 * BLOCK), (32 * BLOCK, 64 * BLOCK)], segments(descriptor))
    fallocate(descriptor, ZERO, 63 * BLOCK, 3 * BLOCK)
    data = data[:63 * BLOCK] + bytes(3 * BLOCK)
    equal("zero and grow: bytes", data, os.pread(descriptor, len(data) + 1, 0))
    equal("zero and grow: blocks", 57 * 8, blocks(descriptor))
    fallocate(descriptor, PUNCH | KEEP, 0, MAX)
    equal("punch everything: blocks", 0, blocks(descriptor))
    equal("punch everything: bytes", bytes(66 * BLOCK), os.pread(descriptor, 67 * BLOCK, 0))
    mapped.close()
    os.close(descriptor)


def test_sparse(path):
    descriptor = make(path)
    for at in (1 << 20, 1 << 40, MAX - 10):
        os.pwrite(descriptor, b"data", at)
    equal("sparse: blocks", 24, blocks(descriptor))
    equal("sparse: data", [(1 << 20, (1 << 20) + BLOCK), (1 << 40, (1 << 40) + BLOCK), (MAX - 4095, MAX - 6)],
          segments(descriptor))
    fallocate(descriptor, PUNCH | KEEP, 4, MAX - 4)
    equal("sparse, punched: blocks", 0, blocks(descriptor))
    equal("sparse, punched: size", MAX - 6, size(descriptor))
    os.close(descriptor)


def test_errors(path):
    descriptor = make(path, b"abc")
    fails("seek behind the end", errno.ENXIO, os.lseek, descriptor, 3, os.SEEK_DATA)
    fails("seek behind the end", errno.ENXIO, os.lseek, descriptor, 3, os.SEEK_HOLE)
    fails("seek before the start", errno.ENXIO, os.lseek, descriptor, -1, os.SEEK_DATA)
    for mode in (COLLAPSE, INSERT, UNSHARE, PUNCH, ZERO | PUNCH | KEEP):
        fails("mode %d" % mode, errno.EOPNOTSUPP, fallocate, descriptor, mode, 0, BLOCK)
    fails("no size", errno.EINVAL, fallocate, descriptor, 0, 0, 0)
    fails("a negative offset", errno.EINVAL, fallocate, descriptor, 0, -1, 1)
    fails("beyond the limit", errno.EFBIG, fallocate, descriptor, 0, MAX, 1)
    fails("more than there is", errno.ENOSPC, fallocate, descriptor, 0, 0, 1 << 60)
    equal("nothing was done", (3, b"abc"), (size(descriptor), os.pread(descriptor, 10, 0)))
    os.ftruncate(descriptor, MAX)
    equal("the largest size", MAX, size(descriptor))
    fails("a write beyond the limit", errno.EINVAL, os.pwrite, descriptor, b"x", MAX)
    fails("a negative size", errno.EINVAL, os.ftruncate, descriptor, -1)
    os.close(descriptor)
    descriptor = os.open(path, os.O_RDONLY)
    fails("fallocate of a file open for reading", errno.EBADF, fallocate, descriptor, 0, 0, 1)
    os.close(descriptor)


def copy(source, target, count, source_offset=0, target_offset=0):
    """Until everything is copied, or there is no more."""
    done = 0
    while done < count:
        part = os.copy_file_range(source, target, count - done, source_offset + done, target_offset + done)
        if part == 0:
            break
        done += part
    return done


def test_copy(path):
    data = random.Random(8).randbytes(300000)
    source = make(path, data)
    os.pwrite(source, data, 1 << 30)
    length = (1 << 30) + len(data)
    target = make(path + ".target")
    equal("copy", length, copy(source, target, 1 << 40))
    equal("copy: size", length, size(target))
    equal("copy: bytes", data + bytes(1000), os.pread(target, len(data) + 1000, 0))
    equal("copy: bytes", data, os.pread(target, len(data), 1 << 30))
    equal("copy: holes stay holes", blocks(source), blocks(target))
    equal("copy to the middle", 1000, copy(source, target, 1000, 5, 100000))
    equal("copy to the middle: bytes", data[:100000] + data[5:1005] + data[101000:], os.pread(target, len(data), 0))
    equal("copy: the source", data, os.pread(source, len(data), 0))
    equal("copy within a file", 50000, copy(target, target, 50000, 200000, 0))
    equal("copy within a file: bytes", data[200000:250000] + data[50000:100000], os.pread(target, 100000, 0))
    fails("overlapping", errno.EINVAL, os.copy_file_range, target, target, 1000, 0, 999)
    equal("behind the end", 0, copy(source, target, 10, length, 0))
    small = make(path + ".small", b"small")
    equal("a small file", 5, copy(small, target, 100, 0, 3))
    equal("a small file: bytes", data[200000:200003] + b"small", os.pread(target, 8, 0))
    equal("to a small file", 3, copy(source, small, 3, 7, 5))
    equal("to a small file: bytes", b"small" + data[7:10], os.pread(small, 100, 0))
    equal("a hole over data", 100000, copy(source, target, 100000, 1 << 20, 0))
    equal("a hole over data: bytes", bytes(100000), os.pread(target, 100000, 0))
    for descriptor in (source, target, small):
        os.close(descriptor)


def used_bytes(descriptor):
    """What is free besides depends on what others do with the host's disk."""
    os.fsync(descriptor)
    space = os.fstatvfs(descriptor)
    return (space.f_blocks - space.f_bfree) * space.f_bsize


def test_clone(path):
    """Copies share blocks until one of them changes; the space comes back with the last."""
    count = 64 << 20
    data = random.Random(9).randbytes(1 << 20)
    source, target, third = make(path), make(path + ".target"), make(path + ".third")
    for at in range(0, count, len(data)):
        os.pwrite(source, data, at)
    before = used_bytes(source)
    equal("clone", count, copy(source, target, count))
    equal("clone of a clone", count, copy(target, third, count))
    less("clones of 64 MiB take rows", used_bytes(source) - before, 8 << 20)  # with pages of 64 KiB too
    equal("clone: blocks", blocks(source), blocks(target))
    os.pwrite(target, b"changed", 1 << 20)
    os.pwrite(source, b"otherwise", 2 << 20)
    fallocate(third, PUNCH | KEEP, 3 << 20, 1 << 20)
    for at, texts in ((1 << 20, (data[:9], b"changed" + data[7:9], data[:9])), (2 << 20, (b"otherwise", data[:9], data[:9])),
                      (3 << 20, (data[:9], data[:9], bytes(9))), (5 << 20, (data[:9], data[:9], data[:9]))):
        equal("clones at %d" % at, texts, tuple(os.pread(descriptor, 9, at) for descriptor in (source, target, third)))
    os.ftruncate(source, 0)
    os.ftruncate(third, 0)
    less("two of three gone: nothing is free", before - used_bytes(target), 4 << 20)
    os.ftruncate(target, 0)
    # Freed blocks are free once a checkpoint no longer needs them.
    wanted = before - count + (8 << 20)
    end = time.monotonic() + 120
    while used_bytes(target) >= wanted and time.monotonic() < end:
        time.sleep(0.02)
    less("all gone", used_bytes(target), wanted)
    for descriptor in (source, target, third):
        os.close(descriptor)


def test_large(path):
    """A gigabyte costs rows, not bytes."""
    descriptor = make(path)
    fallocate(descriptor, 0, 0, 1 << 30)
    equal("a gigabyte: blocks", 1 << 21, blocks(descriptor))
    os.pwrite(descriptor, b"end", (1 << 30) - 3)
    equal("a gigabyte: data", [((1 << 30) - BLOCK, 1 << 30)], segments(descriptor))
    fallocate(descriptor, ZERO, 0, 1 << 30)
    equal("a gigabyte of zeros: data", [], segments(descriptor))
    os.close(descriptor)
    os.unlink(path)


def main():
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test(os.path.join(sys.argv[1], name))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
