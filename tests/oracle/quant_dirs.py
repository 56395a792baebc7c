"""The tiny model of tests/data/adapters/base quantised and saved by others, and the logits that its dequantised weights
give in f32: bitsandbytes' NF4 with double quantisation, FP4, int8 as transformers saves them; BitNet's packing by
transformers' functions, for both linear classes. For tests/model/test_quantised.c.
Run: python tests/oracle/quant_dirs.py"""
import json
import os
import shutil
import tempfile
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TORCHDYNAMO_DISABLE"] = "1"
import bitsandbytes as bnb
import bitsandbytes.functional as F
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.integrations.bitnet import WeightQuant, pack_weights, unpack_weights

HERE = os.path.dirname(os.path.abspath(__file__))
BASE, OUT = os.path.join(HERE, "../data/adapters/base"), os.path.join(HERE, "../data/quant")
IDS = [1, 40, 72, 101, 9, 200, 33, 150, 4, 77, 12, 90]
BNB = {"nf4": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32),
       "fp4": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=torch.float32),
       "int8": dict(load_in_8bit=True)}


def plain():
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()


def logits(model):
    """After the fourth and the last token."""
    with torch.no_grad():
        return [[round(v, 5) for v in row] for row in model(torch.tensor([IDS])).logits[0][[3, -1]].tolist()]


def with_weights(values):
    model = plain()
    for name, p in model.named_parameters():
        if name in values:
            p.data = values[name].float()
    return model


def four_bits(w):
    """By bitsandbytes' PyTorch code, as its CUDA kernels do: its C code for CPUs starts a block at each row, which is wrong
    here, where 64 values are two rows."""
    s = w.quant_state
    absmax = F.dequantize_blockwise(s.absmax, s.state2) + s.offset if s.nested else s.absmax
    return _dequantize_4bit_compute(w.data.reshape(-1), absmax, s.code, s.blocksize, s.shape, torch.float32)


def keep(name, path):
    to = os.path.join(OUT, name)
    shutil.rmtree(to, ignore_errors=True)
    os.makedirs(to)
    for f in ("config.json", "model.safetensors"):
        shutil.copyfile(os.path.join(path, f), os.path.join(to, f))


def by_bnb(name):
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, quantization_config=BitsAndBytesConfig(**BNB[name]), device_map="cpu")
    values = {}
    for n, m in model.named_modules():
        if isinstance(m, bnb.nn.Linear4bit):
            values[n + ".weight"] = four_bits(m.weight)
        elif isinstance(m, bnb.nn.Linear8bitLt):
            values[n + ".weight"] = F.int8_vectorwise_dequant(m.weight.data, m.weight.SCB if m.weight.SCB is not None else m.state.SCB)
    assert len(values) == 14, len(values)
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        keep(name, tmp)
    return logits(with_weights(values))


def by_bitnet(name, linear_class):
    model = plain()
    state, values = load_file(os.path.join(BASE, "model.safetensors")), {}
    out = dict(state)
    for n, w in state.items():
        if "_proj" not in n:
            continue
        w = w.float()
        scale = 1.0 / w.abs().mean().clamp_(min=1e-5)
        packed = pack_weights((w * scale).round().clamp(-1, 1))
        kept = (scale if linear_class == "bitlinear" else 1 / scale).reshape(1).bfloat16()
        out[n] = packed
        out[n.replace("weight", "weight_scale")] = kept
        ternary = unpack_weights(packed, torch.float32)
        values[n] = ternary / kept.float() if linear_class == "bitlinear" else ternary * kept.float()
    cfg = json.load(open(os.path.join(BASE, "config.json")))
    cfg["quantization_config"] = {"quant_method": "bitnet", "linear_class": linear_class, "quantization_mode": "offline", "modules_to_not_convert": ["lm_head"]}
    with tempfile.TemporaryDirectory() as tmp:
        json.dump(cfg, open(os.path.join(tmp, "config.json"), "w"), indent=2)
        save_file(out, os.path.join(tmp, "model.safetensors"), metadata={"format": "pt"})
        keep(name, tmp)
    return logits(with_weights(values))


def main():
    data = {"versions": {p: version(p) for p in ("bitsandbytes", "torch", "transformers")}, "ids": IDS,
            "logits": {n: by_bnb(n) for n in BNB} | {"bitlinear": by_bitnet("bitlinear", "bitlinear"), "autobitlinear": by_bitnet("autobitlinear", "autobitlinear")}}
    with open(os.path.join(OUT, "logits.json"), "w") as f:
        json.dump(data, f)
        f.write("\n")


main()
