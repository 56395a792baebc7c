"""Bytes of bitsandbytes on a CPU (float32 input) for tests/common/test_quant.c: NF4, FP4, double quantisation, int8 rows.
Inputs are made from an integer hash, or taken from SmolLM2's GGUF, so that the data holds SHA-256 sums only.
Run: FETCHED=.fetched python tests/oracle/bnb.py > tests/data/quant/bnb.json"""
import json
import os
import sys
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "1")
import bitsandbytes.functional as F
import numpy as np
import torch
from hashed import f32, hashed, normal, sha

def midpoints(kind, scale):
    """A block whose largest value is `scale`: every midpoint of the sorted codes, the values beside it, then zeros."""
    code = np.sort(F.get_4bit_type(kind, "cpu").numpy())
    mid = (code[:-1] + code[1:]) / f32(2)
    x = np.zeros(64, f32)
    x[0] = 1
    x[1:46] = np.concatenate([mid, np.nextafter(mid, f32(2)), np.nextafter(mid, f32(-2))])
    return x * f32(scale)


def outlier(n):
    x = hashed(5, n) * f32(1e-3)
    x[77] = 1000
    return x


CASES = {"uniform": lambda k: hashed(1, 64 * 300), "normal": lambda k: normal(2, 64 * 3000 + 640),
         "zeros": lambda k: np.zeros(256, f32), "outlier": lambda k: outlier(64 * 20),
         "denormal": lambda k: hashed(6, 640) * f32(1e-39), "near 1e-38": lambda k: hashed(7, 640) * f32(1.1e-38),
         "midpoints 1": lambda k: midpoints(k, 1), "midpoints 0.37": lambda k: midpoints(k, 0.37),
         "midpoints 3e-5": lambda k: midpoints(k, 3e-5), "rest": lambda k: normal(8, 1000), "odd": lambda k: normal(9, 1037),
         "small": lambda k: normal(10, 37), "rest of zeros": lambda k: np.zeros(70, f32)}
TENSORS = ["blk.0.ffn_down.weight", "blk.15.attn_k.weight", "blk.29.attn_q.weight"]


def four_bits(name, kind, x):
    t = torch.from_numpy(x.copy())
    packed, s = F.quantize_4bit(t, quant_type=kind)
    out = {"case": name, "type": kind, "n": x.size, "packed": sha(packed.numpy()), "absmax": sha(s.absmax.numpy()),
           "values": sha(F.dequantize_4bit(packed, s).numpy() + f32(0))}
    packed, s = F.quantize_4bit(t, quant_type=kind, compress_statistics=True)
    return out | {"offset": s.offset.item(), "codes": sha(s.absmax.numpy()), "second": sha(s.state2.absmax.numpy()),
                  "nested_values": sha(F.dequantize_4bit(packed, s).numpy() + f32(0))}


def rows_case(name):
    x = normal(20, 48 * 96).reshape(48, 96)
    if name == "rows":
        x[3] = 0
        x[5, 7] = 900
        x[6] *= f32(1e-7)
    if name == "halves":  # a largest value of 127 leaves x as it is: ties
        x = np.round(hashed(21, 48 * 96) * f32(254)).reshape(48, 96) / f32(2)
        x[:, 0] = 127
    return x.astype(f32)


def int8(name, x):
    q, scb, _ = F.int8_vectorwise_quant(torch.from_numpy(x.copy()).half())
    return {"case": name, "rows": x.shape[0], "cols": x.shape[1], "q": sha(q.numpy()), "scale": sha(scb.numpy())}


def main():
    import oracle_model as om
    from gguf import dequantize
    r, _ = om.reader(om.model_path())
    real = {t.name: dequantize(t.data, t.tensor_type).astype(f32) for t in r.tensors if t.name in TENSORS}
    data = {"versions": {p: version(p) for p in ("bitsandbytes", "torch", "numpy", "gguf")},
            "dynamic_map": sha(F.create_dynamic_map().numpy()),
            "nf4": sha(F.get_4bit_type("nf4", "cpu").numpy()), "fp4": sha(F.get_4bit_type("fp4", "cpu").numpy()),
            "four_bits": [four_bits(n, k, f(k)) for n, f in CASES.items() for k in ("nf4", "fp4")]
            + [four_bits(n, k, real[n].reshape(-1)) for n in TENSORS for k in ("nf4", "fp4")],
            "int8": [int8(n, rows_case(n)) for n in ("rows", "halves")] + [int8(n, real[n]) for n in TENSORS]}
    json.dump(data, sys.stdout, indent=1)
    print()


main()
