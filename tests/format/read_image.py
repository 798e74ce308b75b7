#!/usr/bin/python3
"""Reads a beeftreefs database without any of our C code: written from docs/format.md alone, so that the page is true.

usage: read_image.py IMAGE

Checks what it meets (checksums, order, fences, counts, that every page and every block of contents is used once) and
prints one line for each path, sorted:

    inode type mode links uid gid size device mtime xattrs contents path

The log is replayed in memory; if it held anything, a line on stderr says how much.

xattrs: XXH3 of all extended attributes, each as name, zero byte, size of the value (4), value; "-" if there are none.
contents: XXH3 of a file's bytes, or a symlink's target; else "-". Exits with 1 and one line when something is wrong.
"""
import collections
import os
import sys

import xxhash

BLOCK = 4096
CHUNK = 131072
INLINE_MAX = 3840
SUPER_MAGIC = b"beeftreefs db 1\n"
SUPER_SEED = 0x5355504552424C4B
TO_END = 1 << 63


class Damaged(Exception):
    """Something is not as docs/format.md says."""


def require(condition, what, *details):
    if not condition:
        raise Damaged(what % details if details else what)


def little(data, offset, size):
    return int.from_bytes(data[offset:offset + size], "little")


def big(data, offset, size):
    return int.from_bytes(data[offset:offset + size], "big")


def checksum(data, seed):
    return xxhash.xxh3_64_intdigest(data, seed=seed)


class Image:
    """The file: blocks, superblock, page map, content bitmap (sections 1 to 3)."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = os.fstat(self.file.fileno()).st_size
        self.used = {}
        for block in range(32):
            self.use(block, "header")
        slots = [self.read_super(block) for block in (0, 16)]
        valid = [fields for fields in slots if fields is not None]
        require(valid, "no valid superblock")
        self.super = max(valid, key=lambda fields: fields["generation"])
        self.page_size = self.super["page_size"]
        self.blocks = self.super["blocks"]
        require(self.size >= self.blocks * BLOCK, "the file is shorter than the superblock says")
        for block in list(range(1, 16)) + list(range(17, 32)):
            require(self.read(block, 1) == bytes(BLOCK), "reserved block %d is not zero", block)
        self.pages = {}
        self.walk_map(0x4D, self.super["map"], self.take_map_leaf)
        require(len(self.pages) == self.super["page_count"], "the map has %d pages, not %d", len(self.pages),
                self.super["page_count"])
        self.contents = set()
        self.walk_map(0x42, self.super["bitmap"], self.take_bitmap_leaf)
        require(len(self.contents) == self.super["content_count"], "the bitmap marks %d blocks, not %d",
                len(self.contents), self.super["content_count"])
        self.changed = {}  # pages as the log has them
        self.log = Log(self)
        self.log.replay()

    def read(self, block, count):
        self.file.seek(block * BLOCK)
        data = self.file.read(count * BLOCK)
        require(len(data) == count * BLOCK, "block %d is beyond the file", block)
        return data

    def use(self, block, what):
        require(block not in self.used, "block %d is used twice: %s, %s", block, self.used.get(block), what)
        self.used[block] = what

    def read_super(self, block):
        data = self.read(block, 1)
        if data[:16] != SUPER_MAGIC or checksum(data[:4088], SUPER_SEED) != little(data, 4088, 8):
            return None
        require(little(data, 16, 4) == 1, "format version %d", little(data, 16, 4))
        require(little(data, 24, 8) in (0, 1) and little(data, 32, 8) == 0, "unknown features")
        label = data[56:120]
        require(0 in label, "the label is not ended")
        fields = {
            "page_size": little(data, 20, 4),
            "shares": little(data, 24, 8) == 1,
            "label": label[:label.index(0)].decode(),
            "generation": little(data, 120, 8),
            "blocks": little(data, 128, 8),
            "map": (little(data, 136, 8), little(data, 144, 8), little(data, 152, 4)),
            "bitmap": (little(data, 160, 8), little(data, 168, 8), little(data, 156, 4)),
            "page_count": little(data, 176, 8),
            "content_count": little(data, 184, 8),
            "salt": little(data, 192, 8),
            "lsn": little(data, 200, 8),
            "position": little(data, 208, 8),
            "sequence": little(data, 216, 8),
            "runs": [(little(data, 232 + 16 * i, 8), little(data, 240 + 16 * i, 8)) for i in range(little(data, 224, 4))],
        }
        require(data[232 + 16 * len(fields["runs"]):744] == bytes(512 - 16 * len(fields["runs"])), "runs of the ring")
        require(fields["page_size"] in (4096, 8192, 16384, 32768, 65536), "page size %d", fields["page_size"])
        require(data[228:232] == bytes(4) and data[752:4088] == bytes(3336), "the superblock's rest is not zero")
        return fields

    def walk_map(self, kind, root, take_leaf):
        block, digest, height = root
        require(height <= 7 and (block == 0) == (height == 0), "a root with height %d", height)
        if block:
            self.walk_node(kind, height - 1, 0, block, digest, take_leaf)

    def walk_node(self, kind, level, index, block, digest, take_leaf):
        self.use(block, "node")
        data = self.read(block, 1)
        require(checksum(data, kind << 56 | level << 48 | index) == digest, "node in block %d: checksum", block)
        if level == 0:
            take_leaf(index, data)
            return
        present = 0
        for i in range(256):
            child, child_digest = little(data, 16 * i, 8), little(data, 16 * i + 8, 8)
            if child:
                present += 1
                self.walk_node(kind, level - 1, 256 * index + i, child, child_digest, take_leaf)
            else:
                require(child_digest == 0, "an absent node with a checksum")
        require(present, "a node without entries in block %d", block)

    def take_map_leaf(self, index, data):
        present = 0
        for i in range(256):
            block, digest = little(data, 16 * i, 8), little(data, 16 * i + 8, 8)
            if block == 0:
                require(digest == 0, "an absent page with a checksum")
                continue
            present += 1
            unit = self.page_size // BLOCK
            require(block % unit == 0, "a page at block %d", block)
            for k in range(unit):
                self.use(block + k, "page %d" % (256 * index + i))
            self.pages[256 * index + i] = (block, digest)
        require(present and 0 not in self.pages, "an empty leaf of the map, or page 0")

    def take_bitmap_leaf(self, index, data):
        bits = int.from_bytes(data, "little")
        require(bits, "an empty leaf of the bitmap")
        while bits:
            bit = (bits & -bits).bit_length() - 1
            bits &= bits - 1
            block = 32768 * index + bit
            require(block < self.blocks, "contents beyond the file")
            self.use(block, "contents")
            self.contents.add(block)

    def page(self, number):
        if number in self.changed:
            return bytes(self.changed[number])
        require(number in self.pages, "page %d is absent", number)
        block, digest = self.pages[number]
        data = self.read(block, self.page_size // BLOCK)
        require(checksum(data, number) == digest, "page %d: checksum", number)
        return data


class Log:
    """The log (section 6): brings an image's pages and contents up to date."""

    def __init__(self, image):
        self.image = image
        runs = image.super["runs"]
        self.ring = b"".join(image.read(block, count) for block, count in runs)
        for block, count in runs:
            for i in range(count):
                image.use(block + i, "log")
        position = image.super["position"]
        require(position % BLOCK == 0 and (position < len(self.ring) or position == 0), "the position in the ring")
        self.ring = self.ring[position:] + self.ring[:position]
        self.file_blocks = max(image.size // BLOCK // 16 * 16, image.blocks)
        self.batches, self.records = 0, 0

    def batch(self, at):
        """(sequence, first LSN, records, entries, size) of a whole batch, or None."""
        ring, salt = self.ring, self.image.super["salt"]
        records_size, entries, size = (little(ring, at + field, 4) for field in (28, 32, 36))
        count = little(ring, at + 24, 4)
        if (salt == 0 or little(ring, at, 8) != salt or size != 64 + records_size + 24 * entries or
                at + (size + BLOCK - 1) // BLOCK * BLOCK > len(ring) or count == 0 or
                checksum(ring[at + 64:at + size], checksum(ring[at:at + 56], salt)) != little(ring, at + 56, 8)):
            return None
        require(ring[at + 40:at + 56] == bytes(16), "zeros in a batch's header")
        records_end = at + 64 + records_size
        return (little(ring, at + 8, 8), little(ring, at + 16, 8), self.split(ring[at + 64:records_end], count),
                ring[records_end:at + size], size)

    @staticmethod
    def split(data, count):
        records, at = [], 0
        while at < len(data):
            size = little(data, at, 4)
            records.append(data[at + 4:at + 4 + size])
            at += 4 + size
        require(at == len(data) and len(records) == count, "records of a batch")
        return records

    def replay(self):
        sequence, lsn = self.image.super["sequence"], self.image.super["lsn"]
        at, batches = 0, []
        while at < len(self.ring):
            batch = self.batch(at)
            if not batch or batch[0] != sequence:
                break
            require(batch[1] == lsn, "batch %d begins with LSN %d, not %d", sequence, batch[1], lsn)
            batches.append(batch)
            sequence, lsn = sequence + 1, lsn + len(batch[2])
            at += (batch[4] + BLOCK - 1) // BLOCK * BLOCK
        for behind in range(at, len(self.ring), BLOCK):
            batch = self.batch(behind)
            require(not batch or batch[0] <= sequence, "batch %d is damaged: there is a later one", sequence)
        if batches and not self.is_whole(batches[-1]):
            batches.pop()
        self.batches = len(batches)
        before = set(self.image.contents)
        for _, _, records, _, _ in batches:
            for record in records:
                self.records += 1
                for edit in self.edits(record):
                    self.apply(*edit)
        for block in before - self.image.contents:
            del self.image.used[block]
        for block in self.image.contents - before:
            self.image.use(block, "contents")

    def is_whole(self, batch):
        for record in batch[2]:
            for kind, _, fields in self.edits(record):
                if kind == 6 and fields[0] + fields[1] > self.file_blocks:
                    return False
        entries = batch[3]
        for at in range(0, len(entries), 24):
            block, count, zeros, digest = (little(entries, at + i, n) for i, n in ((0, 8), (8, 4), (12, 4), (16, 8)))
            require(count and not zeros and block >= 32, "a content entry")
            if block + count > self.file_blocks:
                return False
            found = count
            for i in range(count):
                found = checksum(checksum(self.image.read(block + i, 1), 0).to_bytes(8, "little"), found)
            if found != digest:
                return False
        return True

    @staticmethod
    def edits(record):
        """(kind, page, fields) of each but PAGE."""
        at, page = 0, None
        while at < len(record):
            kind, at = record[at], at + 1
            sizes = {1: (8,), 2: (), 3: (), 4: (2, 2), 5: (2, 2, 2), 6: (8, 4), 7: (8, 4)}
            require(kind in sizes, "an edit of kind %d", kind)
            fields = []
            for size in sizes[kind]:
                require(at + size <= len(record), "half an edit")
                fields.append(little(record, at, size))
                at += size
            if kind == 4:
                data = record[at:at + fields[1] + 1]
                require(len(data) == fields[1] + 1, "half a PUT")
                fields[1], at = data, at + len(data)
            if kind == 1:
                page = fields[0]
                continue
            require(page is not None or kind >= 6, "an edit without a page")
            yield kind, page, fields

    def apply(self, kind, page, fields):
        image = self.image
        if kind >= 6:
            block, count = fields
            require(1 <= count <= 32768 and 32 <= block <= self.file_blocks - count, "a run of the log")
            for i in range(block, block + count):
                require((i in image.contents) == (kind == 7), "block %d: %s", i, "DROP" if kind == 7 else "ADD")
                (image.contents.remove if kind == 7 else image.contents.add)(i)
            return
        require(1 <= page < 1 << 40 and (page in image.pages) == (kind != 2), "page %d: edit %d", page, kind)
        if kind == 2:
            image.pages[page] = None
            image.changed[page] = bytearray(image.page_size)
            return
        if kind == 3:
            del image.pages[page]
            image.changed.pop(page, None)
            return
        if page not in image.changed:
            image.changed[page] = bytearray(image.page(page))
        data = image.changed[page]
        if kind == 4:
            offset, put = fields
            require(offset + len(put) <= len(data), "a PUT outside of page %d", page)
            data[offset:offset + len(put)] = put
        else:
            to, origin, size = fields[0], fields[1], fields[2] + 1
            require(max(to, origin) + size <= len(data), "a MOVE outside of page %d", page)
            data[to:to + size] = data[origin:origin + size]


class Tree:
    """The B+tree (section 4): all rows, in order."""

    def __init__(self, image):
        self.image = image
        self.seen = set()
        self.leaves = []  # (page, next leaf)
        self.rows = []
        self.walk(1, None, b"", None)
        for (_, following), (page, _) in zip(self.leaves, self.leaves[1:]):
            require(following == page, "the leaf chain leads to page %d, not %d", following, page)
        require(self.leaves[-1][1] == 0, "the last leaf has a next one")
        require(self.seen == set(image.pages), "pages outside the tree: %s", sorted(set(image.pages) - self.seen)[:5])
        require(all(a[0] < b[0] for a, b in zip(self.rows, self.rows[1:])), "rows out of order")

    def walk(self, page, level, lower, upper):
        require(page not in self.seen, "page %d comes twice", page)
        self.seen.add(page)
        data = self.image.page(page)
        node_type, node_level, prefix_size = data[0], data[1], little(data, 2, 2)
        require(node_type == (1 if node_level == 0 else 2), "page %d: type %d at level %d", page, node_type, node_level)
        require(node_level <= 23 and (level is None or node_level == level), "page %d: level %d", page, node_level)
        fences = self.fences(page, data)
        require(fences == (lower, upper), "page %d: fence keys", page)
        common = os.path.commonprefix([lower, upper]) if upper is not None else b""
        require(len(common) == prefix_size, "page %d: prefix", page)
        rows = self.slots(page, data, lower[:prefix_size])
        for key, _ in rows:
            require(lower <= key and (upper is None or key < upper), "page %d: a key outside the fences", page)
        if node_level == 0:
            self.take_leaf(page, data, rows)
            return
        require(rows and all(len(value) == 8 and key > lower for key, value in rows), "page %d: separators", page)
        children = [little(data, 24, 8)] + [little(value, 0, 8) for _, value in rows]
        bounds = [lower] + [key for key, _ in rows] + [upper]
        for i, child in enumerate(children):
            self.walk(child, node_level - 1, bounds[i], bounds[i + 1])

    def take_leaf(self, page, data, rows):
        limit = (self.image.page_size - 672) // 4 - 10
        for key, value in rows:
            require(1 <= len(key) <= 320 and len(key) + len(value) <= limit, "page %d: a row too long", page)
        require(rows or page == 1, "page %d: an empty leaf", page)
        following = little(data, 24, 8)
        require((little(data, 10, 2) == 65535) == (following == 0), "page %d: upper fence and next leaf", page)
        self.leaves.append((page, following))
        self.rows += rows

    @staticmethod
    def fences(page, data):
        lower_offset, lower_size, upper_offset, upper_size = (little(data, at, 2) for at in (4, 6, 8, 10))
        require(lower_size <= 320 and (upper_size == 65535 or 1 <= upper_size <= 320), "page %d: fence sizes", page)
        lower = data[lower_offset:lower_offset + lower_size] if lower_size else b""
        upper = None if upper_size == 65535 else data[upper_offset:upper_offset + upper_size]
        return lower, upper

    @staticmethod
    def slots(page, data, prefix):
        count, heap, dead = little(data, 12, 4), little(data, 16, 4), little(data, 20, 4)
        require(32 + 10 * count <= heap <= len(data), "page %d: heap start", page)
        used = dead + little(data, 6, 2) + (little(data, 10, 2) if little(data, 10, 2) != 65535 else 0)
        rows = []
        for i in range(count):
            slot = data[32 + 10 * i:42 + 10 * i]
            offset, suffix_size, value_size = little(slot, 4, 2), little(slot, 6, 2), little(slot, 8, 2)
            rest = max(suffix_size - 4, 0)
            end = offset + rest + value_size
            require(suffix_size <= 320, "page %d: suffix size", page)
            require(offset >= heap and end <= len(data) if rest + value_size else offset == 0, "page %d: slot %d", page, i)
            require(slot[min(suffix_size, 4):4] == bytes(4 - min(suffix_size, 4)), "page %d: head of slot %d", page, i)
            rows.append((prefix + slot[:min(suffix_size, 4)] + data[offset:offset + rest], data[offset + rest:end]))
            used += rest + value_size
        require(used == len(data) - heap, "page %d: heap of %d bytes, %d used", page, len(data) - heap, used)
        return rows


class Inode:
    """A row of table I (section 5), and what other tables say of it."""

    def __init__(self, number, value):
        require(len(value) >= 112, "inode %d: a short row", number)
        self.number = number
        self.mode, self.links, self.uid, self.gid = (little(value, at, 4) for at in (0, 4, 8, 12))
        self.size, self.blocks, self.device = (little(value, at, 8) for at in (24, 32, 40))
        self.mtime = int.from_bytes(value[56:64], "little", signed=True), little(value, 84, 4)
        self.parent = little(value, 96, 8)
        self.xattr_summary = little(value, 20, 4)
        self.pieces = little(value, 104, 2)
        require(value[106:112] == bytes(6), "inode %d: reserved bytes", number)
        require(all(little(value, at, 4) < 10**9 for at in (80, 84, 88, 92)), "inode %d: nanoseconds", number)
        self.target = value[112:]
        self.type = self.mode >> 12
        self.names = self.subdirectories = self.entries = 0
        self.orphan = False
        self.freeing = None
        self.rows = []  # (offset, value)
        self.xattrs = {}  # name: (size, pieces)
        is_symlink = self.type == 0o12
        require(len(self.target) == (self.size if is_symlink and self.size <= 512 else 0), "inode %d: target", number)


class Filesystem:
    """The rows (section 5)."""

    def __init__(self, image):
        self.image = image
        self.piece = ((image.page_size - 672) // 4 - 10 - 18) // 64 * 64
        self.inodes = {}
        self.entries = []  # (parent, name, child)
        self.named = collections.Counter()
        self.owners = {}  # of shared blocks
        self.limit = None
        rows = Tree(image).rows
        self.xattr_piece = ((image.page_size - 672) // 4 - 10 - 271) // 16 * 16
        for table in (b"I", b"O", b"D", b"X", b"S", b"C"):
            for key, value in rows:
                if key[:1] == table:
                    getattr(self, "take_" + table.decode())(key, value)
        require({key[:1] for key, _ in rows} <= {b"I", b"O", b"D", b"X", b"S", b"C"}, "rows of unknown tables")
        require(self.limit is not None and all(number < self.limit for number in self.inodes), "inode numbers")
        for inode in self.inodes.values():
            self.check(inode)

    def inode(self, number):
        require(number in self.inodes, "inode %d does not exist", number)
        return self.inodes[number]

    def take_I(self, key, value):
        require(len(key) == 9, "a key of table I")
        number = big(key, 1, 8)
        if number == 0:
            require(len(value) == 32 and value[8:] == bytes(24), "the superinode")
            self.limit = little(value, 0, 8)
        else:
            self.inodes[number] = Inode(number, value)

    def take_O(self, key, value):
        inode = self.inode(big(key, 1, 8))
        if len(key) == 9:
            require(value == b"" and inode.links == 0, "orphan %d", inode.number)
            inode.orphan = True
        else:
            require(len(key) == 17 and inode.freeing is None, "contents being freed of inode %d", inode.number)
            inode.freeing = big(key, 9, 8)
            require(inode.freeing % CHUNK == 0 and little(value, 0, 8) == TO_END and len(value) == 8 and
                    inode.blocks > 0 and (inode.links == 0 or inode.freeing >= inode.size),
                    "contents being freed of inode %d", inode.number)

    def take_D(self, key, value):
        require(10 <= len(key) <= 264 and len(value) == 9, "a row of table D")
        parent, child, name = self.inode(big(key, 1, 8)), self.inode(little(value, 0, 8)), key[9:]
        require(b"/" not in name and b"\0" not in name and name not in (b".", b".."), "a name in %d", parent.number)
        require(parent.type == 0o4 and value[8] == child.type, "entry %r of %d", name, parent.number)
        parent.entries += 1
        child.names += 1
        if child.type == 0o4:
            parent.subdirectories += 1
            require(child.parent == parent.number, "the parent of directory %d", child.number)
        self.entries.append((parent.number, name, child))

    def take_C(self, key, value):
        require(len(key) == 17 and len(value) > 1, "a row of table C")
        inode = self.inode(big(key, 1, 8))
        require(inode.type in (0o10, 0o12), "contents of inode %d, which is no file", inode.number)
        inode.rows.append((big(key, 9, 8), value))

    def take_X(self, key, value):
        inode = self.inode(big(key, 1, 8))
        name, zero, piece = key[9:].partition(b"\0")
        require(1 <= len(name) <= 255, "a name in table X")
        if not zero:
            size = little(value, 0, 4)
            require(len(value) == 4 + min(size, self.xattr_piece) and size <= 65536 and name not in inode.xattrs,
                    "extended attribute %r of inode %d", name, inode.number)
            inode.xattrs[name] = size, [value[4:]]
            return
        # An inode without a name may have lost the rows before.
        size, pieces = inode.xattrs.get(name, (None, None))
        if pieces is None:
            require(inode.links == 0, "a piece alone in inode %d", inode.number)
            return
        done = len(pieces) * self.xattr_piece
        require(len(piece) == 2 and big(piece, 0, 2) == len(pieces) and done < size and
                len(value) == min(size - done, self.xattr_piece), "extended attribute %r of inode %d", name, inode.number)
        pieces.append(value)

    def take_S(self, key, value):
        first, end = big(key, 1, 8), 0
        require(len(key) == 9 and first % 64 == 0 and 8 <= len(value) <= 512 and len(value) % 8 == 0, "a row of table S")
        for at in range(0, len(value), 8):
            start, count, zero, owners = value[at], value[at + 1], little(value, at + 2, 2), little(value, at + 4, 4)
            require(start >= end and count and start + count <= 64 and not zero and owners >= 2, "owners at %d", first)
            end = start + count
            self.owners.update((first + i, owners) for i in range(start, end))

    def check_owners(self):
        """After all contents were read."""
        for block, owners in self.owners.items():
            require(self.image.super["shares"] and self.named[block] == owners, "block %d: %d owners, %d names", block, owners, self.named[block])

    def check_xattrs(self, inode):
        names = set(inode.xattrs)
        acls = [name in names for name in (b"system.posix_acl_access", b"system.posix_acl_default")]
        summary = sum(len(name) + 1 for name in names) | acls[0] << 30 | acls[1] << 31
        require(summary == inode.xattr_summary, "inode %d: summary of extended attributes", inode.number)
        require(not acls[1] or inode.type == 0o4, "inode %d: a default ACL", inode.number)
        for name, (size, pieces) in inode.xattrs.items():
            require(sum(map(len, pieces)) == size, "extended attribute %r of inode %d", name, inode.number)
            require(name.startswith((b"user.", b"trusted.", b"security.", b"system.posix_acl_")), "name %r", name)
            if name.startswith(b"system."):
                self.check_acl(b"".join(pieces), inode)

    @staticmethod
    def check_acl(acl, inode):
        require(len(acl) <= 4096 and acl[:4] == b"\2\0\0\0" and len(acl) % 8 == 4, "an ACL of inode %d", inode.number)
        tags = [little(acl, at, 2) for at in range(4, len(acl), 8)]
        require(tags == sorted(tags) and all(tags.count(tag) == 1 for tag in (1, 4, 32)) and tags.count(16) <= 1 and
                set(tags) <= {1, 2, 4, 8, 16, 32} and (16 in tags or not {2, 8} & set(tags)), "an ACL of inode %d", inode.number)
        require(all(little(acl, at, 2) <= 7 for at in range(6, len(acl), 8)), "an ACL of inode %d", inode.number)

    def xattr_digest(self, inode):
        if not inode.xattrs:
            return "-"
        return "%016x" % checksum(b"".join(name + b"\0" + size.to_bytes(4, "little") + b"".join(pieces)
                                           for name, (size, pieces) in sorted(inode.xattrs.items())), 0)

    def check(self, inode):
        number = inode.number
        if inode.links > 0:
            self.check_xattrs(inode)
        if inode.type == 0o4:
            require(inode.links == (0 if inode.orphan else 2 + inode.subdirectories), "links of directory %d", number)
            require(inode.names == (0 if inode.orphan or number == 1 else 1), "names of directory %d", number)
            require(inode.size == inode.entries, "entries of directory %d", number)
        else:
            require(inode.links == inode.names, "links of inode %d", number)
        require(inode.orphan == (inode.links == 0), "inode %d: an orphan row or none", number)
        kinds = {value[0] for _, value in inode.rows}
        require(kinds == ({2} if inode.blocks else {1}) or not inode.rows and not inode.blocks, "kinds of inode %d", number)
        pieces = sum(len(value) - 1 for _, value in inode.rows if value[0] == 1)
        require(not inode.pieces or (inode.type == 0o10 and (inode.links == 0 or inode.pieces == 1 + pieces)),
                "inode %d: bytes in pieces", number)
        blocks = sum(len([b for b in self.slots(number, value) if b[0]]) for _, value in inode.rows if value[0] == 2)
        require(blocks == inode.blocks, "inode %d counts %d blocks, and has %d", number, inode.blocks, blocks)

    def slots(self, number, value):
        """A chunk's slots: (block, unwritten, checksum) each."""
        runs = value[1]
        require(1 <= runs <= 32 and len(value) >= 2 + 8 * runs, "a chunk of inode %d", number)
        slots, digests = [], 2 + 8 * runs
        for i in range(runs):
            run = little(value, 2 + 8 * i, 8)
            first, count, unwritten = run & (1 << 48) - 1, (run >> 48 & 255) + 1, bool(run >> 56 & 1)
            shared = bool(run >> 57 & 1)
            require(run >> 58 == 0 and (first or not unwritten and not shared) and not (shared and unwritten),
                    "a run of inode %d", number)
            for block in range(first, first + count if first else first):
                require(shared or block not in self.owners, "inode %d: block %d is not marked shared", number, block)
            for k in range(count):
                digest = None
                if first and not unwritten:
                    digest = little(value, digests, 8)
                    digests += 8
                slots.append((first + k if first else 0, unwritten, digest))
        require(len(slots) <= 32 and digests == len(value) and slots[-1][0], "a chunk of inode %d", number)
        for block, _, _ in slots:
            if block:
                require(block in self.image.contents, "inode %d: block %d is not marked", number, block)
        return slots

    def ranges(self, inode):
        """What a file's rows hold: (offset, bytes), ascending."""
        end = 0
        for offset, value in inode.rows:
            if value[0] == 1:
                require(offset == end and offset % self.piece == 0 and len(value) - 1 <= self.piece,
                        "a piece of inode %d", inode.number)
                end = offset + len(value) - 1
                require(end <= inode.size and end <= (INLINE_MAX if inode.type == 0o10 else 4095),
                        "pieces of inode %d", inode.number)
                yield offset, value[1:]
            else:
                require(value[0] == 2 and offset % CHUNK == 0, "a chunk of inode %d", inode.number)
                yield from self.chunk_ranges(inode, offset, value)

    def chunk_ranges(self, inode, offset, value):
        for i, (block, unwritten, digest) in enumerate(self.slots(inode.number, value)):
            at = offset + BLOCK * i
            if not block:
                continue
            self.named[block] += 1
            require(self.named[block] == 1 or block in self.owners, "block %d is named twice", block)
            if inode.links == 0 or inode.freeing is not None and at >= inode.freeing:
                continue
            if unwritten:
                continue
            require(at < inode.size, "inode %d: contents beyond its size", inode.number)
            data = self.image.read(block, 1)
            require(checksum(data, 0) == digest, "inode %d: block %d: checksum", inode.number, block)
            size = min(BLOCK, inode.size - at)
            require(data[size:] == bytes(BLOCK - size), "inode %d: bytes beyond its size", inode.number)
            yield at, data[:size]

    def digest(self, inode):
        """XXH3 of the file's bytes, holes as zeros."""
        state, done = xxhash.xxh3_64(seed=0), 0

        def zeros(to):
            nonlocal done
            while done < to:
                size = min(1 << 20, to - done)
                state.update(bytes(size))
                done += size

        for offset, data in self.ranges(inode):
            zeros(offset)
            state.update(data)
            done += len(data)
        zeros(inode.size)
        return "%016x" % state.intdigest()

    def content(self, inode):
        if inode.type == 0o10:
            return self.digest(inode)
        if inode.type == 0o12:
            target = inode.target or b"".join(data for _, data in self.ranges(inode))
            require(len(target) == inode.size, "the target of symlink %d", inode.number)
            return target.decode("utf-8", "surrogateescape")
        return "-"

    def lines(self):
        children = {}
        for parent, name, child in self.entries:
            children.setdefault(parent, []).append((name, child))
        contents = {number: self.content(inode) for number, inode in self.inodes.items()}
        self.check_owners()
        found, todo = [], [(b"/", self.inode(1))]
        while todo:
            path, inode = todo.pop()
            found.append("%d %o %o %d %d %d %d %d %d.%09d %s %s %s" % (
                inode.number, inode.type, inode.mode & 0o7777, inode.links, inode.uid, inode.gid, inode.size, inode.device,
                *inode.mtime, self.xattr_digest(inode), contents[inode.number], path.decode("utf-8", "surrogateescape")))
            if inode.type == 0o4:
                for name, child in children.get(inode.number, []):
                    todo.append((path.rstrip(b"/") + b"/" + name, child))
        names = len(self.entries) + 1
        require(len(found) == names, "%d names, but %d reached", names, len(found))
        return sorted(found)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.reconfigure(errors="surrogateescape")
    sys.setrecursionlimit(10000)
    try:
        filesystem = Filesystem(Image(sys.argv[1]))
        lines = filesystem.lines()
        require(set(filesystem.named) == filesystem.image.contents, "the bitmap and the rows name different blocks")
    except Damaged as damaged:
        print("read_image.py: %s: %s" % (sys.argv[1], damaged), file=sys.stderr)
        sys.exit(1)
    log = filesystem.image.log
    if log.batches:
        print("read_image.py: %s: replayed %d batches, %d records" % (sys.argv[1], log.batches, log.records), file=sys.stderr)
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
