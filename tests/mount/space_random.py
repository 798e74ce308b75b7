"""Random operations on one file against an array of bytes, with everything that changes what a range holds: write, mapped
stores, truncate, fallocate in all modes, copy_file_range within the file and from another: space_random.py FILE SEED COUNT.

Exits with 1 at the first difference, and says after which operations.
"""
import mmap
import os
import random
import sys

from space import KEEP, PUNCH, ZERO, fallocate

SIZE_MAX = 1 << 20
COPIED = 1 << 18


class Run:
    def __init__(self, path, seed):
        self.random = random.Random(seed)
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self.direct = os.open(path, os.O_RDWR | os.O_DIRECT)
        self.other = os.open(path + ".other", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self.other_bytes = self.random.randbytes(COPIED // 2) + bytes(COPIED // 2)
        os.pwrite(self.other, self.other_bytes[:COPIED // 2], 0)
        os.ftruncate(self.other, COPIED)
        self.bytes = bytearray()
        self.done = []

    def range(self, limit=SIZE_MAX):
        """Offset and size, often at multiples of a block."""
        unit = self.random.choice((1, 1, 512, 4096, 4096, 65536))
        offset = self.random.randrange(limit) // unit * unit
        return offset, min(max(self.random.choice((1, 16)) * self.random.randrange(8192) // unit * unit, 1), limit - offset)

    def put(self, offset, data):
        if offset > len(self.bytes):
            self.bytes += bytes(offset - len(self.bytes))
        self.bytes[offset:offset + len(data)] = data

    def write(self):
        offset, size = self.range()
        data = self.random.randbytes(size)
        self.put(offset, data)
        assert os.pwrite(self.descriptor, data, offset) == size
        return offset, size

    def direct_write(self):
        offset = self.range()[0] // 4096 * 4096
        data = self.random.randbytes(min(4096 * self.random.randrange(1, 17), SIZE_MAX - offset))
        with mmap.mmap(-1, len(data)) as buffer:  # aligned
            buffer[:] = data
            assert os.pwritev(self.direct, [buffer], offset) == len(data)
        self.put(offset, data)
        return offset, len(data)

    def mapped_write(self):
        if not self.bytes:
            return ()
        offset, size = self.range(len(self.bytes))
        data = self.random.randbytes(size)
        with mmap.mmap(self.descriptor, len(self.bytes)) as mapped:
            mapped[offset:offset + size] = data
            if self.random.randrange(2):
                mapped.flush()
        self.put(offset, data)
        return offset, size

    def truncate(self):
        size = self.random.choice((0, self.range()[0], len(self.bytes)))
        os.ftruncate(self.descriptor, size)
        if size < len(self.bytes):
            del self.bytes[size:]
        else:
            self.bytes += bytes(size - len(self.bytes))
        return (size,)

    def allocate(self):
        mode = self.random.choice((0, KEEP, PUNCH | KEEP, PUNCH | KEEP, ZERO, ZERO | KEEP))
        offset, size = self.range()
        fallocate(self.descriptor, mode, offset, size)
        if mode & (PUNCH | ZERO) and offset < len(self.bytes):
            self.put(offset, bytes(min(size, len(self.bytes) - offset)))
        if not mode & KEEP and offset + size > len(self.bytes):
            self.bytes += bytes(offset + size - len(self.bytes))
        return mode, offset, size

    def copy(self):
        if self.random.randrange(2):
            (source, size), target = self.range(COPIED), self.range(SIZE_MAX - COPIED)[0]
            descriptor, data = self.other, self.other_bytes[source:source + size]
        else:
            if len(self.bytes) < 2:
                return ()
            half = len(self.bytes) // 2
            (source, size), target = self.range(half), half + self.random.randrange(half)
            descriptor, data = self.descriptor, bytes(self.bytes[source:source + size])
        done = 0
        while done < len(data):
            part = os.copy_file_range(descriptor, self.descriptor, len(data) - done, source + done, target + done)
            assert part > 0
            done += part
        self.put(target, data)
        return source, target, size

    def read(self):
        offset, size = self.range()
        self.compare(os.pread(self.descriptor, size, offset), bytes(self.bytes[offset:offset + size]), offset)
        return offset, size

    def mapped_read(self):
        if not self.bytes:
            return ()
        offset, size = self.range(len(self.bytes))
        with mmap.mmap(self.descriptor, len(self.bytes), prot=mmap.PROT_READ) as mapped:
            self.compare(mapped[offset:offset + size], bytes(self.bytes[offset:offset + size]), offset)
        return offset, size

    def seek(self):
        """A hole is zeros: as far as everything has reached the daemon."""
        os.fsync(self.descriptor)
        at = 0
        while at < len(self.bytes):
            try:
                data = os.lseek(self.descriptor, at, os.SEEK_DATA)
            except OSError:
                data = len(self.bytes)
            self.compare(bytes(data - at), bytes(self.bytes[at:data]), at)
            at = os.lseek(self.descriptor, data, os.SEEK_HOLE) if data < len(self.bytes) else data
        return ()

    def compare(self, got, wanted, offset):
        if got == wanted:
            return
        at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        print("%d bytes at %d differ from byte %d on, %d were wanted" % (len(got), offset, offset + at, len(wanted)))
        for line in self.done[-30:]:
            print(line)
        sys.exit(1)

    def step(self):
        operation = self.random.choice((self.write, self.write, self.direct_write, self.mapped_write, self.truncate, self.allocate,
                                        self.allocate, self.copy, self.read, self.read, self.mapped_read, self.seek))
        self.done.append((len(self.done), operation.__name__, len(self.bytes)))
        self.done[-1] += tuple(operation())
        if os.fstat(self.descriptor).st_size != len(self.bytes):
            print("size %d, wanted %d" % (os.fstat(self.descriptor).st_size, len(self.bytes)))
            self.compare(b"", b"?", 0)


def main():
    run = Run(sys.argv[1], int(sys.argv[2]))
    for _ in range(int(sys.argv[3])):
        run.step()
    run.compare(os.pread(run.descriptor, SIZE_MAX + 1, 0), bytes(run.bytes), 0)


if __name__ == "__main__":
    main()
