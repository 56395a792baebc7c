"""Every linear of SmolLM2 quantised by bitsandbytes on this CPU, against the model.safetensors files that quantize wrote of the
same GGUF: bytes and scales must be equal; doubly quantised scales too when taken around the file's own nested_offset, which must be
the mean of the scales rounded once. (torch sums them in f32: its mean is up to 3 ulp off for one of the 210, and how far
depends on the machine's vectors. The distance is printed.) Prints counts; exit 1 on any difference.
Run: FETCHED=.fetched python tests/oracle/bnb_model.py NAME=DIR …, NAME one of nf4, fp4, nf4-nested, int8"""
import json
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "2")
import bitsandbytes.functional as F
import numpy as np
import oracle_model as om
import torch
from gguf import dequantize
from safetensors import safe_open

ULPS = []  # distance of nested_offset from torch's own mean


def linears():
    r, meta = om.reader(om.model_path())
    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    for t in r.tensors:
        part = t.name.split(".")
        if part[0] != "blk" or part[2] not in om.LINEARS:
            continue
        w = torch.from_numpy(dequantize(t.data, t.tensor_type).astype("float32").copy())
        if part[2] in heads:
            w = om.unpermute(w, heads[part[2]])
        yield f"model.layers.{part[1]}.{om.LINEARS[part[2]]}", w.contiguous()


def same(f, name, want):
    got = f.get_tensor(name)
    return got.dtype == want.dtype and got.numel() == want.numel() and torch.equal(got.reshape(-1), want.reshape(-1))


def int8(f, name, w):
    q, scale, _ = F.int8_vectorwise_quant(w.half())
    return same(f, name + ".weight", q) and same(f, name + ".SCB", scale) and f.get_tensor(name + ".weight_format").item() == 0


def four_bits(f, name, w, kind, nested):
    packed, s = F.quantize_4bit(w, quant_type=kind, compress_statistics=False)
    state = json.loads(bytes(f.get_tensor(f"{name}.weight.quant_state.bitsandbytes__{kind}").numpy()).decode())
    want = {"quant_type": kind, "blocksize": 64, "dtype": "float32", "shape": list(w.shape)}
    ok = same(f, name + ".weight", packed) and same(f, name + ".weight.quant_map", s.code)
    if not nested:
        return ok and state == want and same(f, name + ".weight.absmax", s.absmax)
    offset = np.float32(state.pop("nested_offset"))
    codes, second = F.quantize_blockwise(s.absmax - torch.tensor(offset), blocksize=256)
    mean = np.float32(s.absmax.double().mean().item())
    ULPS.append(float(abs(offset - np.float32(s.absmax.mean().item())) / np.spacing(mean)))
    return (ok and state == want | {"nested_blocksize": 256, "nested_dtype": "float32"} and abs(offset - mean) <= np.spacing(mean)
            and same(f, name + ".weight.absmax", codes) and same(f, name + ".weight.nested_absmax", second.absmax)
            and same(f, name + ".weight.nested_quant_map", second.code))


def main():
    files = {}
    for a in sys.argv[1:]:
        kind, path = a.split("=", 1)
        files[kind] = safe_open(os.path.join(path, "model.safetensors"), "pt")
    counts = {k: [0, 0] for k in files}
    for name, w in linears():
        for kind, f in files.items():
            base, _, nested = kind.partition("-")
            ok = int8(f, name, w) if kind == "int8" else four_bits(f, name, w, base, nested == "nested")
            counts[kind][0] += 1
            counts[kind][1] += ok
            if not ok:
                print(f"{kind}: {name} differs")
    for k, (n, good) in counts.items():
        print(f"{k}: {good} of {n} linears equal")
    if ULPS:
        print(f"nested_offset is at most {max(ULPS):g} ulp from torch's f32 mean, beyond 2 ulp for {sum(u > 2 for u in ULPS)} of {len(ULPS)}")
    sys.exit(0 if counts and all(n == good == 210 for n, good in counts.values()) else 1)


main()
