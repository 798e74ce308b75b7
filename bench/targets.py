"""What the benchmarks run on: a beeftreefs mount, an ext4 loop image and a floor server, on the same host disk.

A target is mounted by mount(), and remount() empties the kernel's caches of that one mount. settle() waits until the
target has nothing left to write, so that one target's background work does not fall into another's measurement.
Servers run in the foreground as our children: their pid is known, and their exit is the end of an unmount.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class BenchError(Exception):
    """A message for the user."""


def run(command, **options):
    """Runs a command; its error output becomes the message when it fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if result.returncode != 0:
        raise BenchError("%s: status %d: %s" % (" ".join(command), result.returncode, result.stderr.strip()))
    return result.stdout


def wait_for_mount(process, mountpoint, timeout_s=30):
    """Until something answers on the mount point."""
    outside = os.stat(os.path.dirname(mountpoint)).st_dev
    deadline = time.monotonic() + timeout_s
    while os.stat(mountpoint).st_dev == outside:
        if process.poll() is not None:
            raise BenchError("%s ended with status %d before it was mounted" % (process.args[0], process.returncode))
        if time.monotonic() > deadline:
            raise BenchError("%s: not mounted after %d s" % (process.args[0], timeout_s))
        time.sleep(0.005)


class Target:
    """Base: a mount point in a directory of its own."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = os.path.join(directory, name)
        self.mountpoint = os.path.join(self.directory, "mnt")
        self.process = None
        os.makedirs(self.mountpoint)

    def remount(self):
        self.unmount()
        self.mount()

    def settle(self):
        descriptor = os.open(self.mountpoint, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def cpu_seconds(self):
        """CPU time of the server so far, threads that ended included; None when there is no server."""
        if self.process is None:
            return None
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def counters(self):
        """Counters that only grow, by name; {} when there are none."""
        return {}

    def close(self):
        """Unmounts what is still mounted, whatever state it is in."""
        if os.path.ismount(self.mountpoint):
            subprocess.run(["umount", "-l", self.mountpoint], stderr=subprocess.DEVNULL)
        if self.process is not None:
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Beeftreefs(Target):
    def __init__(self, directory, build, name="beeftreefs", page_size=None, options=None):
        super().__init__(name, directory)
        self.program = os.path.join(build, "beeftreefs")
        self.tool = os.path.join(build, "beeftree")
        self.database = os.path.join(self.directory, "db.bt")
        self.log_path = os.path.join(self.directory, "log")
        self.extra = ["-o", options] if options else []
        if page_size:
            self.extra_format = ["--page-size", str(page_size)]
        else:
            self.extra_format = []
        if not os.access(self.program, os.X_OK):
            raise BenchError("%s is missing: build first (cmake --preset release && cmake --build --preset release)"
                             % self.program)

    def mount(self):
        command = [self.program, self.database, self.mountpoint, "-f"] + self.extra
        if not os.path.exists(self.database):
            command += self.extra_format
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for_mount(self.process, self.mountpoint)
        except BenchError as error:
            with open(self.log_path, errors="replace") as log:
                raise BenchError("%s: %s" % (error, log.read().strip()[-500:]))

    def unmount(self):
        run(["umount", self.mountpoint])
        status = self.process.wait(120)
        self.process = None
        if status != 0:
            raise BenchError("beeftreefs ended with status %d after the unmount" % status)

    def status(self):
        return json.loads(run([self.tool, "status", "--json", self.mountpoint]))

    def counters(self):
        flat = {}
        flatten(self.status(), "", flat)
        return flat

    def file_bytes(self):
        return os.stat(self.database).st_blocks * 512


class Floor(Target):
    def __init__(self, directory, build, name="floor"):
        super().__init__(name, directory)
        self.program = os.path.join(build, "bench", "floor_server")

    def expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise BenchError("floor server: %r instead of %r" % (line, word))

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def mount(self):
        if self.process is None:
            self.process = subprocess.Popen([self.program, self.mountpoint], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        else:
            self.say("mount")
        self.expect("mounted")
        wait_for_mount(self.process, self.mountpoint)
        device = os.stat(self.mountpoint).st_dev
        with open("/sys/class/bdi/%d:%d/read_ahead_kb" % (os.major(device), os.minor(device)), "w") as setting:
            setting.write("1024")  # as src/front/daemon.c does

    def unmount(self):
        run(["umount", self.mountpoint])
        self.expect("unmounted")

    def counters(self):
        self.say("stats")
        flat = {}
        flatten(json.loads(self.process.stdout.readline()), "", flat)
        return flat

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
        super().close()


class Ext4(Target):
    def __init__(self, directory, size_mib=4096, name="ext4"):
        super().__init__(name, directory)
        self.image = os.path.join(self.directory, "image")
        with open(self.image, "wb") as image:
            image.truncate(size_mib << 20)
        run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image])

    def mount(self):
        run(["mount", "-o", "loop", self.image, self.mountpoint])

    def unmount(self):
        run(["umount", self.mountpoint])

    def settle(self):
        run(["sync", "-f", self.mountpoint])


def flatten(value, prefix, into):
    """Nested objects to {"a.b": number}; what is no number is left out."""
    for key, item in value.items():
        if isinstance(item, dict):
            flatten(item, prefix + key + ".", into)
        elif isinstance(item, (int, float)) and not isinstance(item, bool):
            into[prefix + key] = item


def workload(build, name, directory, count=None, size=None, seed=1):
    """Runs one workload; returns its lines as a list of dicts."""
    command = [os.path.join(build, "bench", "workload"), name, directory]
    if count is not None:
        command += [str(count), str(size or 4096), str(seed)]
    return [json.loads(line) for line in run(command).splitlines()]


def need_root():
    if os.geteuid() != 0:
        raise BenchError("mounting ext4 images and emptying caches needs root: run this as root")


def find_build(build):
    """The build directory, with the programs of the benchmark in it: built if they are missing."""
    build = os.path.abspath(build or os.environ.get("BEEFTREE_BUILD") or os.path.join(TOP, "build", "release"))
    if not os.path.exists(os.path.join(build, "bench", "workload")):
        print("building %s" % build, flush=True)
        run(["cmake", "-S", TOP, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"])
        run(["cmake", "--build", build])
    return build


def scratch_directory():
    return tempfile.mkdtemp(prefix="beeftree-bench-", dir=os.environ.get("TMPDIR", "/tmp"))
