"""A mount as the tests in Python hold it: the daemon in the foreground as our child, so that its pid, its messages and its end
are known. The programs are those of BEEFTREE_BUILD, as for the tests in bash (common.sh).
"""

import json
import os
import signal
import subprocess
import sys
import time

BUILD = os.path.abspath(os.environ.get("BEEFTREE_BUILD") or os.path.join(os.path.dirname(__file__), "../../build/release"))
DAEMON = os.path.join(BUILD, "beeftreefs")
TOOL = os.path.join(BUILD, "beeftree")
LONG = os.environ.get("BEEFTREE_TEST_LONG", "0") == "1"
START_S = time.monotonic()
WAIT_S = 180


class Failed(Exception):
    """What the test says when something is not as it should be."""


def note(text):
    print("%8.3f s  %s" % (time.monotonic() - START_S, text), flush=True)


def seed_of_test():
    """The seed that BEEFTREE_SEED gives, or a new one; printed, so that a run can be repeated."""
    seed = int(os.environ.get("BEEFTREE_SEED") or int.from_bytes(os.urandom(4), "little"))
    print("BEEFTREE_SEED=%d" % seed, flush=True)
    return seed


def wait_until(condition, what, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed("%s: not within %d s" % (what, seconds))
        time.sleep(0.002)


def fuse_mounts(at):
    """Mount points of type fuse at or below a directory, the last one first."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split(" ")
            point = fields[4].replace("\\040", " ")
            kind = fields[fields.index("-") + 1]
            if kind.startswith("fuse") and (point == at or point.startswith(at + "/")):
                found.insert(0, point)
    return found


def release(at):
    """Takes a mount away, whatever its state."""
    for point in fuse_mounts(at):
        if subprocess.run(["fusermount3", "-uz", "--", point], stderr=subprocess.DEVNULL, check=False).returncode:
            subprocess.run(["umount", "-l", "--", point], check=False)


def check(database, *options):
    """beeftree check --data: None when clean, else what it printed."""
    result = subprocess.run([TOOL, "check", "--data", *options, database], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return None if result.returncode == 0 else "status %d: %s" % (result.returncode, result.stdout.strip())


def expect_clean(database, what):
    found = check(database)
    if found is not None:
        raise Failed("%s: check of %s: %s" % (what, database, found))


class Mount:
    """One database and where it is mounted. `environment`: more variables for the daemon."""

    def __init__(self, database, point, options=(), environment=None):
        self.database = database
        self.point = point
        self.options = list(options)
        self.environment = environment or {}
        self.log_path = database + ".log"
        self.daemon = None
        self.mount_ms = 0.0
        os.makedirs(point, exist_ok=True)

    def spawn(self):
        """Starts the daemon and does not wait for it."""
        with open(self.log_path, "ab") as log:
            self.daemon = subprocess.Popen([DAEMON, self.database, self.point, "-f", *self.options],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           env={**os.environ, **self.environment}, start_new_session=True)

    def is_answering(self):
        """Whether the mount is there and answers; asks only what is mounted, so a statfs never reaches the host."""
        if not fuse_mounts(self.point):
            return False
        try:
            os.statvfs(self.point)
        except OSError:
            return False
        return True

    def try_start(self):
        """True when the mount answers, False when the daemon ended instead (its status is in .status)."""
        start = time.monotonic()
        self.spawn()

        def is_decided():
            return self.daemon.poll() is not None or self.is_answering()

        wait_until(is_decided, "mounting %s" % self.database)
        self.mount_ms = (time.monotonic() - start) * 1000
        if self.daemon.poll() is None:
            return True
        self.status = self.daemon.returncode
        self.daemon = None
        release(self.point)
        return False

    def start(self):
        if not self.try_start():
            raise Failed("mounting %s: status %d: %s" % (self.database, self.status, self.log_tail()))

    def stop(self):
        """Unmounts and waits; the daemon's exit status."""
        result = subprocess.run(["umount" if os.geteuid() == 0 else "fusermount3", *(["-u"] if os.geteuid() else []),
                                 self.point], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode:
            raise Failed("unmounting %s: %s" % (self.point, result.stdout.strip()))
        status = self.daemon.wait(timeout=WAIT_S)
        self.daemon = None
        return status

    def kill_daemon(self):
        """SIGKILL; the dead mount stays, so that who works on it meets ENOTCONN and not another directory."""
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None

    def kill(self):
        """SIGKILL; the dead mount is taken away."""
        self.kill_daemon()
        release(self.point)

    def is_alive(self):
        return self.daemon is not None and self.daemon.poll() is None

    def state(self):
        """The section `state` of beeftree status."""
        result = subprocess.run([TOOL, "status", "--json", self.point], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode:
            raise Failed("status: %s" % result.stdout.strip())
        return json.loads(result.stdout)["state"]

    def log(self, offset=0):
        """What the daemons said from that byte of the log on."""
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def log_size(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log_tail(self):
        return "\n".join(self.log().splitlines()[-30:])


def run(main):
    """Runs a test's main(scratch); what it leaves mounted goes. The exit status."""
    scratch = os.path.realpath(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main(scratch)
    except Failed as failed:
        print("FAILED: %s" % failed, flush=True)
        sys.exit(1)
    finally:
        release(scratch)
