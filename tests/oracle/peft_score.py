#!/usr/bin/env python3
"""PEFT over SmolLM2 in fp32, asked live by tests/tools/t3-peft-slow.sh (PEERS_PYTHON):
peft_score.py make DIR               saves an adapter of r 8 on all linears whose B is not zero
peft_score.py score DIR RECORDS      log-probabilities of completion and end token as `coador generate --score` gives them,
                                     and the largest absolute logit, one JSON line a record"""
import json
import sys
import warnings

import oracle_model
import torch
from peft import LoraConfig, PeftModel, get_peft_model

warnings.simplefilter("error", UserWarning)             # PEFT warns about missing and unexpected keys
base = oracle_model.load(oracle_model.model_path())
if sys.argv[1] == "make":
    torch.manual_seed(1)
    m = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, task_type="CAUSAL_LM", target_modules="all-linear"))
    for name, p in m.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02)
    m.save_pretrained(sys.argv[2])
    sys.exit()
model = PeftModel.from_pretrained(base, sys.argv[2]).eval()
encode = lambda s: TOKENIZER.encode(s, add_special_tokens=False).ids
TOKENIZER = oracle_model.tokenizer(oracle_model.model_path())
for line in open(sys.argv[3], encoding="utf-8"):
    r = json.loads(line)
    prompt, rest = encode(r["prompt"]), encode(r["completion"]) + [2]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + rest])).logits[0]
    logp = torch.log_softmax(logits.double(), -1)
    at = range(len(prompt) - 1, len(prompt) + len(rest) - 1)
    print(json.dumps({"token_logprobs": [float(logp[i, t]) for i, t in zip(at, rest)], "largest": float(logits.abs().max())}))
