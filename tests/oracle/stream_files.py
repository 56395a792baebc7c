#!/usr/bin/env python3
"""Makes tests/data/streams from coador-tensors(5), with Python's own library and zstd 1.5.4's program: good files by a second
writer, and one broken file a rule. stream_files.py DIR"""
import json
import os
import struct
import subprocess
import sys

LEAD = struct.pack("<II8sI", 0x184D2A5A, 12, b"coadorTS", 1)
EMPTY = (20, 0, 0x51D8E999)


def zstd(data, level=3, *more):
    p = subprocess.run(["zstd", "-cq", "-%d" % level, "--check", "--stream-size=%d" % len(data), *more], input=data, stdout=subprocess.PIPE, check=True)
    return p.stdout


def table(entries, flags=0x80, count=None):
    b = b"".join(struct.pack("<III", *x) for x in entries)
    return struct.pack("<II", 0x184D2A5E, len(b) + 9) + b + struct.pack("<IBI", len(entries) if count is None else count, flags, 0x8F92EAB1)


def stream(pieces, lead=LEAD, level=3, tail=None, **kw):
    frames, entries = [], [EMPTY]
    for p in pieces:
        f = zstd(p, level)
        frames.append(f)
        entries.append((len(f), len(p), struct.unpack("<I", f[-4:])[0]))
    return lead + b"".join(frames) + (table(entries, **kw) if tail is None else tail)


def safetensors(tensors, meta, change=None):
    head, at, data = {"__metadata__": meta} if meta is not None else {}, 0, b""
    for name, dtype, shape, b in tensors:
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(b)]}
        at += len(b)
        data += b
    if change:
        change(head)
    j = json.dumps(head).encode()
    j += b" " * (-len(j) % 8)
    return struct.pack("<Q", len(j)) + j, data


def pad(b):
    return b + b"\n" * (-len(b) % 64)


CONFIG = b'{"model_type": "llama"}\n'
STATE = pad(b'{"type": "q4_1", "shape": [3, 64]}')
BLOCKS = bytes((7 * i + i // 20) % 251 for i in range(120))
FILE = ("__file__/config.json", "U8", [64], pad(CONFIG))
PLAIN = [("a", "F32", [2, 3], struct.pack("<6f", 0, -1, 2, 0.5, 1e-20, 3e38)), ("empty", "BF16", [0, 4], b""), ("z", "I64", [], struct.pack("<q", -5))]
BLOCK = [("w.weight.quant_state.coador__q4_1", "U8", [64], STATE), ("w.weight", "U8", [3, 40], BLOCKS)]
META = {"format": "pt", "__file__/config.json": str(len(CONFIG))}


def cut(b, *at):
    at = (0, *at, len(b))
    return [b[x:y] for x, y in zip(at, at[1:])]


def main(out):
    files = {}
    head, data = safetensors([FILE, *BLOCK, *PLAIN], META)
    both = head + data
    good = stream([head + data[:64], data[64:]])
    files["good-blocks"] = good
    files["good-one-frame"] = stream([both])
    files["good-many-frames"] = stream(cut(both, 3, 8, 9, 100, len(head) + 1, len(both) - 1), level=19)
    files["good-no-tensor"] = stream([b"".join(safetensors([], {"format": "pt"}))])
    f0, f1 = zstd(head + data[:64]), zstd(data[64:])
    files["bad-no-lead"] = good[20:]
    files["bad-version"] = good[:16] + struct.pack("<I", 2) + good[20:]
    files["bad-no-table"] = good[:20 + len(f0) + len(f1)]
    files["bad-cut"] = good[:20 + len(f0) + 10]
    files["bad-lost-frame"] = good[:20 + len(f0)] + table([EMPTY, (len(f0), len(head) + 64, struct.unpack("<I", f0[-4:])[0])])
    files["bad-trailing"] = good + b"\n"
    files["bad-twice"] = good + good
    flip = bytearray(good)
    flip[20 + len(f0) + len(f1) // 2] ^= 4
    files["bad-flip"] = bytes(flip)
    files["bad-table-entry"] = stream([head + data[:64], data[64:]], tail=table([EMPTY, (len(f0), len(head) + 64, 1), (len(f1), len(data) - 64, 2)]))
    files["bad-table-count"] = stream([both], count=3)
    files["bad-table-flags"] = stream([both], flags=0xC0)
    bare = zstd(both, 3, "--no-check")
    files["bad-no-checksum"] = LEAD + bare + table([EMPTY, (len(bare), len(both), struct.unpack("<I", bare[-4:])[0])])
    files["bad-more-data"] = stream([both, b"x"])
    for name, change in {
        "bad-hole": lambda h: h["z"].update(data_offsets=[x + 8 for x in h["z"]["data_offsets"]]),
        "bad-format": lambda h: h["__metadata__"].update(format="np"),
        "bad-file-length": lambda h: h["__metadata__"].update({"__file__/config.json": "65"}),
        "bad-file-name": lambda h: h.update({"__file__/../x": h.pop("__file__/config.json")}),
        "bad-block-type": lambda h: h.update({"w.weight.quant_state.coador__q9_9": h.pop("w.weight.quant_state.coador__q4_1")}),
    }.items():
        files[name] = stream([b"".join(safetensors([FILE, *BLOCK, *PLAIN], dict(META), change))])
    wrong = ("w.weight.quant_state.coador__q4_1", "U8", [64], pad(b'{"type": "q4_1", "shape": [3, 32]}'))
    files["bad-block-shape"] = stream([b"".join(safetensors([FILE, wrong, BLOCK[1], *PLAIN], META))])
    files["bad-padding"] = stream([b"".join(safetensors([(*FILE[:3], CONFIG.ljust(64)), *PLAIN], META))])
    files["bad-file-order"] = stream([b"".join(safetensors([PLAIN[0], FILE], META))])
    for name, b in files.items():
        with open(os.path.join(out, name + ".st.zst"), "wb") as f:
            f.write(b)


main(sys.argv[1])
