"""Changes fields of a database's superblocks, for tests: superblock.py DB FIELD=VALUE... [slot=a|b]

Written from docs/format.md alone. FIELD is version, incompatible, read_only_compatible, or byte:OFFSET; the checksum
is made right again, except with byte:. Prints a field with FIELD alone.
"""
import ctypes
import struct
import sys

BLOCK = 4096
SLOTS = {"a": 0, "b": 65536}
SEED = 0x5355504552424C4B
FIELDS = {"version": (16, "<I"), "page_size": (20, "<I"), "incompatible": (24, "<Q"),
          "read_only_compatible": (32, "<Q"), "generation": (120, "<Q"), "map_root": (136, "<Q"),
          "map_height": (152, "<I"), "log_position": (208, "<Q"), "log_block": (232, "<Q")}


def checksum(data):
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    library.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return library.XXH3_64bits_withSeed(bytes(data), len(data), SEED)


def main():
    path, *words = sys.argv[1:]
    slots = ["a", "b"]
    with open(path, "r+b") as file:
        for word in words:
            name, _, value = word.partition("=")
            if name == "slot":
                slots = [value]
                continue
            for slot in slots:
                file.seek(SLOTS[slot])
                block = bytearray(file.read(BLOCK))
                if name.startswith("byte:"):
                    block[int(name[5:])] ^= int(value, 0)
                elif not value:
                    print(struct.unpack_from(FIELDS[name][1], block, FIELDS[name][0])[0])
                    break
                else:
                    assert checksum(block[:4088]) == struct.unpack_from("<Q", block, 4088)[0], "damaged before"
                    struct.pack_into(FIELDS[name][1], block, FIELDS[name][0], int(value, 0))
                    struct.pack_into("<Q", block, 4088, checksum(block[:4088]))
                file.seek(SLOTS[slot])
                file.write(block)


main()
