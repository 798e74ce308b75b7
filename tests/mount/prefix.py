#!/usr/bin/env python3
"""prefix.py TAR DIRECTORY: whether DIRECTORY is what some prefix of tar's own steps leaves.

tar makes the members in the order of the archive, each whole before the next. So the members that are there must be the
first ones, and every regular file except the last one must have its whole contents, and every one but the last its
modification time. Prints how many members are there of how many; exit status 1 and a line when it is no prefix.
"""

import os
import stat
import sys
import tarfile


def whole(archive, member, path):
    if not member.isreg():
        return True
    with open(path, "rb") as file:
        return file.read() == archive.extractfile(member).read()


def main():
    archive_path, directory = sys.argv[1:]
    with tarfile.open(archive_path) as archive:
        members = [member for member in archive.getmembers() if member.name != "."]
        present = [os.path.lexists(os.path.join(directory, member.name)) for member in members]
        count = sum(present)
        if not all(present[:count]):
            print("missing, though a later one is there: %s" % members[present.index(False)].name)
            return 1
        for member in members[:max(count - 1, 0)]:
            path = os.path.join(directory, member.name)
            attributes = os.lstat(path)
            if not whole(archive, member, path):
                print("not whole, though a later one is there: %s" % member.name)
                return 1
            if member.isreg() and attributes.st_mtime_ns // 10**9 != int(member.mtime):
                print("without its times, though a later one is there: %s" % member.name)
                return 1
            if stat.S_ISREG(attributes.st_mode) != member.isreg():
                print("of another type: %s" % member.name)
                return 1
        names = {os.path.normpath(member.name) for member in members}
        for top, directories, files in os.walk(directory):
            for name in directories + files:
                relative = os.path.relpath(os.path.join(top, name), directory)
                if relative not in names:
                    print("not in the archive: %s" % relative)
                    return 1
        print("%d of %d" % (count, len(members)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
