"""transformers' BitNet packing for tests/common/test_quant_formats.c: absmean rounding by its WeightQuant, packed by its
pack_weights, unpacked and scaled as linear_class autobitlinear does.
Run: python tests/oracle/bitnet.py > tests/data/quant/bitnet.json"""
import json
import os
import sys
from importlib.metadata import version

os.environ["TORCHDYNAMO_DISABLE"] = "1"
import torch
from hashed import f32, normal, sha
from transformers.integrations.bitnet import WeightQuant, pack_weights, unpack_weights

def case(seed, rows, cols):
    w = torch.from_numpy(normal(seed, rows * cols).reshape(rows, cols))
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
