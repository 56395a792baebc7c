#!/usr/bin/env python3
"""A second reader of tensor streams, written from coador-tensors(5) alone: Python's own library and `zstd -dc`.
stream_reader.py FILE: one line a tensor, "name dtype shape sha256" as `coador tensors list --json` has them, or exit 3 with
what is wrong. Run by tests/tools/t1-tensors.sh over tests/data/streams."""
import hashlib
import json
import struct
import subprocess
import sys

LEAD = struct.pack("<II8sI", 0x184D2A5A, 12, b"coadorTS", 1)
WIDTH = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I8": 1, "U8": 1, "I16": 2, "I32": 4, "I64": 8, "BOOL": 1}
BLOCK = {"q8_0": (32, 34), "q4_0": (32, 18), "q4_1": (32, 20), "q4_K": (256, 144), "q6_K": (256, 210)}  # values, bytes


class Bad(Exception):
    pass


def need(truth, what):
    if not truth:
        raise Bad(what)


def frames(b):
    """Pieces of the file by its table: (bytes of the frame, bytes of data)."""
    need(b[:16] == LEAD[:16], "not a tensor stream")
    need(b[:20] == LEAD, "another version")
    need(len(b) > 9 and struct.unpack("<I", b[-4:])[0] == 0x8F92EAB1 and b[-5] == 0x80, "no seek table at the end")
    n = struct.unpack("<I", b[-9:-5])[0]
    size = 12 * n + 17
    need(size <= len(b), "the table does not fit")
    table = b[len(b) - size:]
    need(struct.unpack("<II", table[:8]) == (0x184D2A5E, size - 8), "the table is no frame")
    at, out = 0, []
    for i in range(n):
        packed, data, check = struct.unpack("<III", table[8 + 12 * i:20 + 12 * i])
        frame = b[at:at + packed]
        at += packed
        if i == 0:
            need(frame == LEAD and data == 0 and check == 0x51D8E999, "the first entry is not the leading frame")
            continue
        need(0 < data <= 64 << 20, "frame %d: bytes of data" % i)
        need(len(frame) > 9 and frame[:4] == b"\x28\xb5\x2f\xfd" and frame[4] & 0x1F == 4, "frame %d: descriptor" % i)
        need(struct.unpack("<I", frame[-4:])[0] == check, "frame %d: its checksum differs from the table" % i)
        out.append((frame, data))
    need(at == len(b) - size, "the table and the frames differ in length")
    return out


def unpack(i, frame, data):
    p = subprocess.run(["zstd", "-dcq"], input=frame, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    need(p.returncode == 0 and len(p.stdout) == data, "frame %d does not decompress to its %d bytes" % (i, data))
    return p.stdout


def no_twice(pairs):
    need(len({k for k, _ in pairs}) == len(pairs), "a key stands twice")
    return dict(pairs)


def header(raw):
    need(len(raw) >= 8, "no header")
    n = struct.unpack("<Q", raw[:8])[0]
    need(n <= 100_000_000 and 8 + n <= len(raw), "header length")
    try:
        head = json.loads(raw[8:8 + n].decode("utf-8"), object_pairs_hook=no_twice)
    except ValueError:
        raise Bad("header is not JSON")
    meta = head.pop("__metadata__", {})
    need(meta.get("format") == "pt", "__metadata__.format")
    order = sorted(head.items(), key=lambda kv: (kv[1]["data_offsets"], kv[0]))
    at, data = 0, raw[8 + n:]
    for name, t in order:
        begin, end = t["data_offsets"]
        count = 1
        for x in t["shape"]:
            count *= x
        need(begin == at and end - begin == count * WIDTH.get(t["dtype"], -1), "tensor %s: place or size" % name)
        at = end
    need(at == len(data), "data behind the last tensor")
    return meta, order, data


def tensors(meta, order, data):
    byname, front = dict(order), True
    for name, t in order:
        b = data[t["data_offsets"][0]:t["data_offsets"][1]]
        dtype, shape = t["dtype"].lower(), list(t["shape"])
        if name.startswith("__file__/"):
            need(front, "a file behind a tensor")
            n = int(meta.get(name, "-1"))
            need(dtype == "u8" and 0 <= n <= len(b) < n + 64 and len(b) % 64 == 0, "file %s: length" % name)
            need(b[n:] == b"\n" * (len(b) - n), "file %s: padding" % name)
            b = b[:n]
        elif ".quant_state.coador__" in name:
            front = False
            target, kind = name.split(".quant_state.coador__")
            need(kind in BLOCK and target in byname, "description %s" % name)
            values, size = BLOCK[kind]
            u8 = byname[target]["shape"]
            need(u8[-1] % size == 0, "description %s: rows" % name)
            need(json.loads(b) == {"type": kind, "shape": u8[:-1] + [u8[-1] // size * values]}, "description %s" % name)
        else:
            front = False
            for kind, (values, size) in BLOCK.items():
                if name + ".quant_state.coador__" + kind in byname:
                    dtype, shape = kind, shape[:-1] + [shape[-1] // size * values]
        yield name, dtype, shape, hashlib.sha256(b).hexdigest()


def main(path):
    with open(path, "rb") as f:
        b = f.read()
    try:
        raw = b"".join(unpack(i + 1, *x) for i, x in enumerate(frames(b)))
        for name, dtype, shape, digest in list(tensors(*header(raw))):
            print(name, dtype, "x".join(map(str, shape)), digest)
    except Bad as e:
        print("%s: %s" % (path, e), file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
