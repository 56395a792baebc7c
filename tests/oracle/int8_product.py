"""What rounding activations costs: SmolLM2's int8 directory (quantize --to int8) run by bitsandbytes as it is, its product
rounding each row of activations to 8 bits (LLM.int8(), arXiv 2208.07339, threshold 0 and 6), against its own dequantised
weights in f32, which is what coador computes. Prints the largest difference of logits as a share of the largest logit, and how
many of the next-token choices are equal.
Run: python tests/oracle/int8_product.py DIR"""
import os
import sys
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["TORCHDYNAMO_DISABLE"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import bitsandbytes as bnb
import pydoc_data.topics
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def logits(model, ids):
    with torch.no_grad():
        return model(ids).logits[0].float()


def main(directory):
    model = AutoModelForCausalLM.from_pretrained(directory, device_map="cpu", dtype=torch.float32).eval()
    text = "\n\n".join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics)[:3])
    ids = torch.tensor([AutoTokenizer.from_pretrained(directory)(text).input_ids[:512]])
    linears = [m for m in model.modules() if isinstance(m, bnb.nn.Linear8bitLt)]
    rounded = {}
    for threshold in (0.0, 6.0):
        for m in linears:
            m.state.threshold = threshold
        rounded[threshold] = logits(model, ids)
    for m in linears:
        scb = m.weight.SCB if m.weight.SCB is not None else m.state.SCB
        w = bnb.functional.int8_vectorwise_dequant(m.weight.data, scb).float()
        m.forward = lambda x, w=w: torch.nn.functional.linear(x, w)
    exact = logits(model, ids)
    print(f"bitsandbytes {version('bitsandbytes')}, {len(linears)} linears, {ids.numel()} tokens")
    for threshold, got in rounded.items():
        off = ((got - exact).abs().max() / exact.abs().max()).item()
        print(f"threshold {threshold:g}: off by {off:.3g} of the largest logit, {(got.argmax(-1) == exact.argmax(-1)).sum().item()} of {ids.numel()} choices equal")


main(sys.argv[1])
