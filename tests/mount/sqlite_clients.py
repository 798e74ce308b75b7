"""SQLite databases under several writers that are killed: what was committed is noted outside, and all of it has to be there."""

import hashlib
import os
import random
import signal
import sqlite3

from mounts import Failed

WRITERS = 2
ACCOUNTS = 100
BALANCE = 1000
# In journal mode DELETE the commit is the removal of the journal, and only EXTRA syncs the directory after it.
MODES = {"delete": "EXTRA", "wal": "FULL"}


def payload(writer, number):
    """What row `number` of a writer holds; from a few bytes to several pages."""
    generator = random.Random(writer * 1000003 + number)
    return generator.randbytes(generator.choice((20, 700, 3000, 12000)))


def connect(path, mode):
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    database.execute("pragma journal_mode=%s" % mode)
    database.execute("pragma synchronous=%s" % MODES[mode])
    return database


class Sqlite:
    """One database and its writers. Files of the scratch directory note what was acknowledged."""

    def __init__(self, path, mode, scratch):
        self.path = path
        self.mode = mode
        self.notes = [os.path.join(scratch, "sqlite-%s-%d" % (mode, writer)) for writer in range(WRITERS)]
        self.pids = []
        database = connect(path, mode)
        database.execute("create table ledger (writer int, number int, digest text, payload blob, "
                         "primary key (writer, number))")
        database.execute("create index by_digest on ledger (digest)")
        database.execute("create table accounts (id integer primary key, balance int)")
        database.execute("begin")
        database.executemany("insert into accounts values (?, ?)", [(number, BALANCE) for number in range(ACCOUNTS)])
        database.execute("commit")
        database.close()
        for note in self.notes:
            with open(note, "w", encoding="ascii"):
                pass

    def start(self):
        for writer in range(WRITERS):
            pid = os.fork()
            if pid == 0:
                try:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    self.write(writer)
                except (sqlite3.Error, OSError):
                    pass  # the end of the mount; what matters is what was committed before
                finally:
                    os._exit(0)
            self.pids.append(pid)

    def write(self, writer):
        note = os.open(self.notes[writer], os.O_WRONLY | os.O_APPEND)
        directory = os.open(os.path.dirname(self.path), os.O_RDONLY)
        database = connect(self.path, self.mode)
        number = database.execute("select coalesce(max(number), 0) from ledger where writer = ?", (writer,)).fetchone()[0]
        generator = random.Random()
        while True:
            number += 1
            data = payload(writer, number)
            database.execute("begin immediate")
            database.execute("insert into ledger values (?, ?, ?, ?)",
                             (writer, number, hashlib.sha256(data).hexdigest(), data))
            amount = generator.randrange(100)
            for sign in (1, -1):
                database.execute("update accounts set balance = balance + ? where id = ?",
                                 (sign * amount, generator.randrange(ACCOUNTS)))
            if number > 400:
                database.execute("update ledger set payload = null where writer = ? and number = ?", (writer, number - 400))
            database.execute("commit")
            # SQLite calls a commit good when it can't open the directory in order to sync it (unixDelete in os_unix.c),
            # as after the daemon's death between the journal's removal and that. A daemon that still answers was there.
            os.fstatvfs(directory)
            os.write(note, b"%d\n" % number)

    def kill(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        self.end()

    def end(self):
        """Waits for the writers: they were killed, or what they work on is gone."""
        for pid in self.pids:
            os.waitpid(pid, 0)
        self.pids = []

    def verify(self):
        """How many commits were acknowledged in all."""
        acknowledged = 0
        database = connect(self.path, self.mode)
        what = "SQLite, journal mode %s" % self.mode
        found = database.execute("pragma integrity_check").fetchall()
        if found != [("ok",)]:
            raise Failed("%s: integrity_check: %s" % (what, found[:5]))
        total = database.execute("select sum(balance) from accounts").fetchone()[0]
        if total != ACCOUNTS * BALANCE:
            raise Failed("%s: the accounts sum up to %d instead of %d" % (what, total, ACCOUNTS * BALANCE))
        for writer, note in enumerate(self.notes):
            with open(note, encoding="ascii") as file:
                last = max((int(line) for line in file), default=0)
            acknowledged += last
            rows = database.execute("select number, digest, payload from ledger where writer = ? order by number",
                                    (writer,)).fetchall()
            if [row[0] for row in rows] != list(range(1, len(rows) + 1)) or len(rows) < last:
                raise Failed("%s: commit %d of writer %d was acknowledged; there are %d rows, the last %s" % (
                    what, last, writer, len(rows), rows[-1:] and rows[-1][0]))
            for number, digest, data in rows:
                if data is not None and (data != payload(writer, number) or
                                         hashlib.sha256(data).hexdigest() != digest):
                    raise Failed("%s: row %d of writer %d has other contents" % (what, number, writer))
        database.close()
        return acknowledged
