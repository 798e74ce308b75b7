"""Disks of our own under the targets, whose counters are nobody else's: loop devices on a file of the host's disk.

A loop device hands a flush on as fsync of its file; with direct I/O its writes go past the host's cache, without it
they stay there until the flush. Its statistics (/sys/block/loopN/stat) count bytes and flushes of exactly one
filesystem. The file is written in full beforehand, so that the host allocates nothing while we measure.

SlowDisk puts such a device on a file whose flush takes a given time: see slow_disk.c.
"""

import os
import subprocess

import targets as bench
from targets import BenchError, run, wait_for_mount

SECTOR = 512


def fill_file(path, size_mib):
    """Allocated and written, not only allocated."""
    zeros = bytes(1 << 20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(size_mib):
            file.write(zeros)
        os.fsync(file.fileno())


class Loop:
    """A loop device on a new file of size_mib; with flush_us on a slow disk."""

    def __init__(self, directory, build, size_mib, direct=True, flush_us=None):
        self.directory, self.device, self.server = directory, None, None
        self.image = os.path.join(directory, "image")
        os.makedirs(directory, exist_ok=True)
        try:
            fill_file(self.image, size_mib)
            path = self.image if flush_us is None else self.start_slow(build, flush_us)
            mode = "on" if direct else "off"
            self.device = run(["losetup", "--find", "--show", "--direct-io=" + mode, path]).strip()
            if self.read("loop/dio") != ("1" if direct else "0"):
                raise BenchError("%s: no direct I/O on %s" % (self.device, path))
        except BaseException:
            self.close()
            raise

    def start_slow(self, build, flush_us):
        self.slow_mountpoint = os.path.join(self.directory, "slow")
        os.makedirs(self.slow_mountpoint)
        command = [os.path.join(build, "bench", "slow_disk"), self.image, self.slow_mountpoint, str(flush_us)]
        self.server = subprocess.Popen(command)
        wait_for_mount(self.server, self.slow_mountpoint)
        return os.path.join(self.slow_mountpoint, "image")

    def read(self, name):
        with open("/sys/block/%s/%s" % (os.path.basename(self.device), name)) as file:
            return file.read().strip()

    def counters(self):
        fields = [int(field) for field in self.read("stat").split()]
        return {"disk.bytes": fields[6] * SECTOR, "disk.flushes": fields[15]}

    def close(self):
        if self.device is not None:
            subprocess.run(["losetup", "-d", self.device])
        if self.server is not None:
            subprocess.run(["umount", self.slow_mountpoint])
            self.server.wait(30)
        if os.path.exists(self.image):
            os.unlink(self.image)


def make_ext4(device):
    run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", device])


class Ext4(bench.Target):
    """ext4 on a disk of its own."""

    def __init__(self, directory, disk, name="ext4"):
        super().__init__(name, directory)
        self.disk = disk
        make_ext4(disk.device)

    def mount(self):
        run(["mount", self.disk.device, self.mountpoint])

    def unmount(self):
        run(["umount", self.mountpoint])

    unmount_all = unmount

    def settle(self):
        run(["sync", "-f", self.mountpoint])

    def counters(self):
        return self.disk.counters()

    def close(self):
        super().close()
        self.disk.close()


class Host(bench.Target):
    """A directory of the host's own filesystem. Its disk's counters are everybody's, so there are none."""

    def mount(self):
        pass

    def unmount(self):
        pass

    def settle(self):
        run(["sync", "-f", self.mountpoint])


class Beeftreefs(bench.Beeftreefs):
    """With what /proc counts, and with a disk: the database is the only file of an ext4 there, whose share in bytes
    and flushes is counted, too. Without a disk the database is on the host's filesystem."""

    def __init__(self, directory, build, disk=None, name="beeftreefs", options=None):
        super().__init__(directory, build, name, options=options)
        self.disk = disk
        self.final_bytes = 0  # of daemons that have ended
        if disk is not None:
            self.host = os.path.join(self.directory, "host")
            os.makedirs(self.host)
            make_ext4(disk.device)
            run(["mount", disk.device, self.host])
            self.database = os.path.join(self.host, "db.bt")

    def process_bytes(self):
        """What the daemon has written so far; still there when it has ended and was not waited for."""
        with open("/proc/%d/io" % self.process.pid) as lines:
            return int(dict(line.split(": ") for line in lines)["write_bytes"])

    def settle(self):
        super().settle()
        if self.disk is not None:
            run(["sync", "-f", self.host])

    def counters(self):
        counters = super().counters() if self.process is not None else {}
        counters["process.bytes"] = self.final_bytes + (self.process_bytes() if self.process is not None else 0)
        if self.disk is not None:
            counters.update(self.disk.counters())
        return counters

    def unmount(self):
        run(["umount", self.mountpoint])
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.final_bytes += self.process_bytes()
        status = self.process.wait()
        self.process = None
        if status != 0:
            raise BenchError("beeftreefs ended with status %d after the unmount" % status)

    def unmount_all(self):
        """The ext4 below, too."""
        self.unmount()
        run(["umount", self.host])

    def close(self):
        if os.path.ismount(self.mountpoint):
            subprocess.run(["umount", self.mountpoint])
        if self.process is not None:
            self.process.wait(60)
            self.process = None
        if self.disk is not None:
            if os.path.ismount(self.host):
                subprocess.run(["umount", self.host])
            self.disk.close()
        super().close()
