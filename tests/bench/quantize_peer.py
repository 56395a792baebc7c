#!/usr/bin/env python3
"""bitsandbytes on a CPU over the linears of a model in one safetensors file: NF4 with double quantisation, tensor by tensor,
from the type they have or from f32. Written like ours: the packed tensors, the scales, and all other tensors as they are.
quantize_peer.py MODEL.safetensors OUT.safetensors [--f32]; JSON: seconds of the quantisation alone, of all, CPU seconds, peak MiB"""
import json
import os
import resource
import sys
import time

import bitsandbytes.functional as F
import torch
from safetensors import safe_open
from safetensors.torch import save_file

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
F.quantize_4bit(torch.ones(4096), compress_statistics=True, quant_type="nf4")  # its libraries are loaded
start, used, alone = time.perf_counter(), time.process_time(), 0.0
out = {}
with safe_open(sys.argv[1], "pt") as model:
    for name in model.keys():
        t = model.get_tensor(name)
        if not name.endswith("proj.weight"):
            out[name] = t
            continue
        if "--f32" in sys.argv:
            t = t.float()
        began = time.perf_counter()
        q, state = F.quantize_4bit(t, blocksize=64, compress_statistics=True, quant_type="nf4")
        alone += time.perf_counter() - began
        out[name] = q
        for k, v in state.as_dict(packed=True).items():
            out[f"{name}.{k}"] = v
if sys.argv[2] != "-":
    save_file(out, sys.argv[2], {"format": "pt"})
print(json.dumps({"alone_s": round(alone, 3), "s": round(time.perf_counter() - start, 3), "cpu_s": round(time.process_time() - used, 3),
                  "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
