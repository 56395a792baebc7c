"""transformers' BitNet packing for tests/common/test_quant_formats.c: absmean rounding by its WeightQuant, packed by its
pack_weights, unpacked and scaled as linear_class autobitlinear does.
Run: python tests/oracle/bitnet.py > tests/data/quant/bitnet.json"""
import hashlib
import json
import os
import sys
from importlib.metadata import version

os.environ["TORCHDYNAMO_DISABLE"] = "1"
import numpy as np
import torch
from transformers.integrations.bitnet import WeightQuant, pack_weights, unpack_weights

f32 = np.float32


def hashed(seed, n):
    """As in bnb.py."""
    x = (np.arange(n, dtype=np.uint64) * 0x85EBCA77 + seed * 0x9E3779B1).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return ((x >> np.uint32(8)).astype(f32) * f32(2.0**-23) - f32(1)).astype(f32)


def sha(t):
    return hashlib.sha256(np.ascontiguousarray(t).tobytes()).hexdigest()


def case(seed, rows, cols):
    w = torch.from_numpy((((hashed(seed, rows * cols) + hashed(seed + 1, rows * cols)) + (hashed(seed + 2, rows * cols) + hashed(seed + 3, rows * cols))) * f32(0.02)).reshape(rows, cols))
    scale = 1.0 / w.abs().mean().clamp_(min=1e-5)
    q = (w * scale).round().clamp(-1, 1)
    assert torch.equal(WeightQuant.apply(w), q / scale)
    packed = pack_weights(q.clone())
    unpacked = unpack_weights(packed, torch.float32)
    assert torch.equal(unpacked, q)
    return {"seed": seed, "rows": rows, "cols": cols, "packed": sha(packed.numpy()), "ternary": sha(unpacked.numpy() + f32(0)),
            "mean": (1 / scale).item()}


json.dump({"versions": {p: version(p) for p in ("torch", "transformers")},
           "cases": [case(40, 48, 33), case(41, 192, 576), case(42, 4, 7)]}, sys.stdout, indent=1)
print()
