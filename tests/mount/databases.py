"""databases.py SCRATCH [ROUNDS]: SQLite and PostgreSQL live on a mount, and the daemon, or they themselves, are killed. Afterwards
each verifies its own data, and what they acknowledged has to be there. BEEFTREE_SEED replays the moments.
"""

import collections
import os
import random
import sys
import time

import mounts
from mounts import Failed, Mount, note
from postgres_cluster import Postgres
from sqlite_clients import MODES, Sqlite

ROUNDS = 40 if mounts.LONG else 6
LOAD_S = (0.5, 3)
VICTIMS = ("daemon", "databases", "daemon", "daemon and databases")


class Test:
    def __init__(self, scratch):
        self.random = random.Random(mounts.seed_of_test())
        self.counts = collections.Counter()
        options = ["-o", "allow_other"] if os.geteuid() == 0 else []
        self.mount = Mount(os.path.join(scratch, "db.bt"), os.path.join(scratch, "mnt"), options)
        self.mount.start()
        os.chmod(scratch, 0o755)
        self.sqlite = []
        os.mkdir(os.path.join(self.mount.point, "sqlite"))
        for mode in MODES:
            self.sqlite.append(Sqlite(os.path.join(self.mount.point, "sqlite", mode + ".db"), mode, scratch))
        self.postgres = Postgres(os.path.join(self.mount.point, "postgres"), os.path.join(scratch, "postgres"))

    def kill(self, victim):
        """The load goes on until then."""
        daemon = self.mount.daemon
        if "daemon" in victim:
            daemon.kill()
        elif not self.mount.is_alive():
            raise Failed("the daemon has ended: %s" % self.mount.log_tail())
        if "databases" in victim:
            for sqlite in self.sqlite:
                sqlite.kill()
        self.postgres.kill()
        if "daemon" in victim:
            self.mount.kill_daemon()
            for sqlite in self.sqlite:
                sqlite.end()
            mounts.release(self.mount.point)
            mounts.expect_clean(self.mount.database, "after the kill")
            self.mount.start()
        self.counts["kills of " + victim] += 1

    def one_round(self, number):
        victim = VICTIMS[number % len(VICTIMS)]
        # Our writes are whole or absent, so PostgreSQL need not log whole pages against torn ones.
        full_page_writes = number % 2 == 0
        for sqlite in self.sqlite:
            sqlite.start()
        self.postgres.load()
        time.sleep(self.random.uniform(*LOAD_S))
        self.kill(victim)
        commits = sum(sqlite.verify() for sqlite in self.sqlite)
        self.postgres.start(full_page_writes)
        self.postgres.verify()
        note("round %d, killed: %s; mounted in %.0f ms; %d commits of SQLite, %d of PostgreSQL, %d of pgbench" % (
            number + 1, victim, self.mount.mount_ms, commits, self.postgres.acknowledged,
            self.postgres.count_transactions()))

    def run(self, rounds):
        try:
            self.postgres.create()
            note("clusters made")
            for number in range(rounds):
                self.one_round(number)
            self.postgres.stop()
            self.postgres.verify_files()
            if self.mount.stop() != 0:
                raise Failed("the last unmount: %s" % self.mount.log_tail())
            mounts.expect_clean(self.mount.database, "at the end")
            note("%s" % dict(self.counts))
        except Failed as failed:
            raise Failed("%s\nthe daemon: %s" % (failed, self.mount.log_tail())) from failed
        finally:
            self.postgres.kill()
            for sqlite in self.sqlite:
                sqlite.kill()


def main(scratch):
    Test(scratch).run(int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)


mounts.run(main)
