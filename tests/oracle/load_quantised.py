"""Loads directories that quantize wrote in transformers, computes log-probabilities of the records' completions in f32, and
compares them with the sums that `generate --score` wrote. Prints the largest difference a token; exit 1 beyond --tolerance.
Run: python tests/oracle/load_quantised.py --tolerance 1e-3 DIR SCORED.jsonl
bitsandbytes' CPU code may switch to bf16 products when a model is not training; training mode keeps it in f32 (Llama has no
dropout). BitNet's linears would round their inputs to 8 bits: ours do not, so theirs are turned off."""
import argparse
import json
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["TORCHDYNAMO_DISABLE"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.integrations import bitnet


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--tolerance", type=float, default=1e-3)
    ap.add_argument("dir")
    ap.add_argument("scored")
    a = ap.parse_args()
    bitnet.ActQuant.forward = staticmethod(lambda ctx, x: x)
    model = AutoModelForCausalLM.from_pretrained(a.dir, device_map="cpu").train()
    tk = AutoTokenizer.from_pretrained(a.dir)
    worst, n = 0.0, 0
    for line in open(a.scored):
        r = json.loads(line)
        p, c = tk(r["prompt"]).input_ids, tk(r["completion"], add_special_tokens=False).input_ids
        with torch.no_grad():
            logp = model(torch.tensor([p + c])).logits[0].float().log_softmax(-1)
        got = [logp[len(p) - 1 + i, t].item() for i, t in enumerate(c)]
        want = r["token_logprobs"]
        if len(want) < len(got):
            sys.exit(f"{r['id']}: {len(want)} scores, expected at least {len(got)}")
        d = max(abs(x - y) for x, y in zip(got, want))
        worst, n = max(worst, d if d == d else float("inf")), n + len(got)
    print(f"{a.dir}: {n} tokens, largest difference {worst:.3g}")
    sys.exit(0 if n and worst <= a.tolerance else 1)


main()
