"""A PostgreSQL cluster under load that is killed: pgbench, and a client that notes outside which of its commits were acknowledged.
"""

import glob
import os
import pwd
import re
import signal
import subprocess
import threading

import mounts
from mounts import Failed

CONFIGURATION = """
listen_addresses = ''
shared_buffers = 8MB
max_connections = 30
max_wal_size = 16MB
min_wal_size = 4MB
checkpoint_timeout = 30s
bgwriter_delay = 20ms
autovacuum_naptime = 2s
log_line_prefix = ''
fsync = on
synchronous_commit = on
"""


def program(name):
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name), key=lambda path: int(path.split("/")[4]))
    if not found:
        raise Failed("PostgreSQL is not installed: no " + name)
    return found[-1]


def process_table():
    """pid -> parent's pid, of all that have not ended."""
    table = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            table[int(path.split("/")[2])] = int(fields[1])
    return table


class Postgres:
    """directory: for the cluster, on the mount; outside: for the socket, the log and the notes."""

    def __init__(self, directory, outside):
        # The server refuses to run as root.
        self.account = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            self.account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.directory = directory
        self.outside = outside
        self.log_path = os.path.join(outside, "log")
        self.server = None
        self.clients = []
        self.acknowledged = 0  # commits of the client that notes them
        self.tried = 0
        for path in (directory, outside):
            os.mkdir(path, 0o700)
            if self.account:
                os.chown(path, self.account["user"], self.account["group"])
        self.environment = {**os.environ, "PGHOST": outside, "PGUSER": "postgres", "PGDATABASE": "postgres", "LC_ALL": "C"}

    def run(self, name, *arguments, **options):
        result = subprocess.run([program(name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="replace", stdin=subprocess.DEVNULL, env=self.environment, cwd="/", check=False,
                                **self.account, **options)
        if result.returncode:
            raise Failed("PostgreSQL: %s %s: status %d: %s\n%s" % (name, " ".join(arguments), result.returncode,
                                                                 result.stdout[-2000:], self.log_tail()))
        return result.stdout

    def query(self, text):
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text).strip()

    def log_tail(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-30:])

    def create(self):
        self.run("initdb", "-D", self.directory, "-U", "postgres", "-A", "trust", "-k", "--wal-segsize=1", "--no-locale",
                 "-E", "UTF8")
        with open(os.path.join(self.directory, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write(CONFIGURATION)
        self.start()
        self.query("create table ledger (n bigint primary key, filler text)")
        self.run("pgbench", "-i", "-q", "-s", "2")

    def start(self, full_page_writes=True):
        with open(self.log_path, "ab") as log:
            self.server = subprocess.Popen([program("postgres"), "-D", self.directory, "-k", self.outside, "-c",
                                            "full_page_writes=%s" % ("on" if full_page_writes else "off")],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd="/",
                                           **self.account)

        def is_ready():
            if self.server.poll() is not None:
                raise Failed("PostgreSQL does not start: status %d\n%s" % (self.server.returncode, self.log_tail()))
            return subprocess.run([program("pg_isready"), "-q"], env=self.environment, check=False).returncode == 0

        mounts.wait_until(is_ready, "starting PostgreSQL")

    # --- Load

    def load(self):
        self.clients = [
            subprocess.Popen([program("pgbench"), "-n", "-c", "3", "-T", "600"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment, cwd="/",
                             **self.account),
            subprocess.Popen([program("psql"), "-X", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment, cwd="/",
                             **self.account)]
        self.committer = threading.Thread(target=self.commit, args=(self.clients[1],))
        self.committer.start()

    def commit(self, client):
        """One commit after the other; psql says so when the server has said so."""
        try:
            while True:
                self.tried += 1
                client.stdin.write("insert into ledger values (%d, repeat('%d ', %d));\n" % (
                    self.tried, self.tried, self.tried % 300))
                client.stdin.flush()
                if client.stdout.readline() != "INSERT 0 1\n":
                    return
                self.acknowledged = self.tried
        except (OSError, ValueError):
            return

    # --- Ends

    def kill(self):
        """SIGKILL for every process of the server, by their pids; then for the clients."""
        if not self.server:
            return
        if self.server.poll() is None:
            os.kill(self.server.pid, signal.SIGSTOP)  # so that it starts no others meanwhile
        family = {self.server.pid} | {pid for pid, parent in process_table().items() if parent == self.server.pid}
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.server.wait()
        mounts.wait_until(lambda: not family & process_table().keys(), "the end of PostgreSQL")
        self.server = None
        for client in self.clients:
            client.kill()
            client.wait()
        if self.clients:
            self.committer.join()
            self.clients[1].stdin.close()
            self.clients[1].stdout.close()
        self.clients = []

    def stop(self):
        self.server.send_signal(signal.SIGINT)
        if self.server.wait(timeout=mounts.WAIT_S) != 0:
            raise Failed("PostgreSQL does not end well\n%s" % self.log_tail())
        self.server = None

    # --- What has to be there

    def verify(self):
        self.run("pg_amcheck", "--all", "--install-missing", "--heapallindexed")
        sums = self.query("select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), "
                          "(select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from "
                          "pgbench_history)").split("|")
        if len(set(sums)) != 1:
            raise Failed("PostgreSQL: pgbench's sums differ: %s" % sums)
        missing = self.query("select count(*) from generate_series(1, %d) as wanted where not exists (select from ledger "
                             "where n = wanted and filler = repeat(n || ' ', (n %% 300)::int))" % self.acknowledged)
        if missing != "0":
            raise Failed("PostgreSQL: of %d acknowledged commits %s are missing or wrong" % (self.acknowledged, missing))
        highest = int(self.query("select coalesce(max(n), 0) from ledger"))
        if highest > self.tried:
            raise Failed("PostgreSQL: row %d is there, %d were tried" % (highest, self.tried))
        # What was not acknowledged may be there; the numbers go on behind it.
        self.tried = max(self.tried, highest)
        self.query("insert into ledger select n, repeat(n || ' ', (n %% 300)::int) from generate_series(1, %d) as n on conflict "
                   "do nothing" % self.tried)
        self.acknowledged = self.tried

    def verify_files(self):
        """After a clean end: the checksum of every page."""
        output = self.run("pg_checksums", "--check", "-D", self.directory)
        if not re.search(r"Bad checksums: +0", output):
            raise Failed("pg_checksums: %s" % output)

    def count_transactions(self):
        return int(self.query("select count(*) from pgbench_history"))
