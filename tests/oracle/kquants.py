"""GGUF's Q4_K and Q6_K as the gguf package decodes them, for tests/common/test_quant_formats.c: SHA-256 of the values of
hashed bytes whose f16 fields are made finite.
Run: python tests/oracle/kquants.py > tests/data/quant/kquants.json"""
import json
import sys
from importlib.metadata import version

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import dequantize
from hashed import lowbias, sha

BLOCKS = 96


def hashed_bytes(seed, n):
    return (lowbias(seed, n) >> np.uint32(16)).astype(np.uint8)


def values(kind, seed, size, halves):
    b = hashed_bytes(seed, BLOCKS * size).reshape(BLOCKS, size)
    for at in halves:
        b[:, at + 1] &= 0xBB  # two bits of the exponent cleared: finite
    v = dequantize(b, kind).astype(np.float32) + np.float32(0)
    return {"blocks": BLOCKS, "seed": seed, "values": sha(v)}


json.dump({"versions": {p: version(p) for p in ("gguf", "numpy")}, "q4_K": values(T.Q4_K, 1, 144, (0, 2)),
           "q6_K": values(T.Q6_K, 2, 210, (208,))}, sys.stdout, indent=1)
print()
