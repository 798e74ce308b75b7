"""The test's side of disk_errors.c: a disk whose calls fail when they are told to."""

import errno
import mmap
import os
import struct

import mounts

LIBRARY = os.path.join(mounts.BUILD, "tests/libdisk_errors.so")
CALLS = {"read": 1, "write": 2, "sync": 3, "allocate": 4, "truncate": 5, "writeback": 6}
CONTROL_SIZE = 4096
ARMED, ERROR, NTH, LASTING, SHORT, FROM, TO, SEEN, FAILED, COUNTS = range(0, 80, 8)
FAILED_ZEROS = COUNTS + 8 * (len(CALLS) + 1)


class Disk:
    """The control file of one database; `environment` makes a daemon obey it."""

    def __init__(self, database):
        if not os.path.exists(LIBRARY):
            raise mounts.Failed("%s is not built" % LIBRARY)  # the loader would go on without it
        path = database + ".control"
        with open(path, "wb") as file:
            file.truncate(CONTROL_SIZE)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), CONTROL_SIZE)
        self.environment = {"LD_PRELOAD": LIBRARY, "DISK_ERRORS_FILE": database, "DISK_ERRORS_CONTROL": path}

    def _put(self, offset, value):
        struct.pack_into("<Q", self.map, offset, value)

    def _get(self, offset):
        return struct.unpack_from("<Q", self.map, offset)[0]

    def arm(self, call, error, nth=1, lasting=False, short=False, span=(0, 0)):
        """From now on the nth such call fails; span: only transfers that touch these bytes of the file."""
        self.disarm()
        for offset, value in ((ERROR, getattr(errno, error)), (NTH, nth), (LASTING, lasting), (SHORT, short),
                              (FROM, span[0]), (TO, span[1]), (SEEN, 0), (FAILED, 0), (FAILED_ZEROS, 0)):
            self._put(offset, value)
        self._put(ARMED, CALLS[call])

    def disarm(self):
        self._put(ARMED, 0)

    def failed(self):
        """How many calls have failed since the arming."""
        return self._get(FAILED)

    def failed_zeros(self):
        """How many of them were writes of nothing but zeros."""
        return self._get(FAILED_ZEROS)

    def count(self, call):
        """How many such calls there were on the file in all."""
        return self._get(COUNTS + 8 * CALLS[call])
