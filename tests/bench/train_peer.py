#!/usr/bin/env python3
"""transformers + PEFT on the work of bench.sh: its rows, and the speed and memory of training on them in fp32.
train_peer.py rows MODEL.gguf N KIND     N pre-tokenised rows of the standard library's English prose, JSONL; KIND: full (256
                                         tokens), ragged (60 to 350, 180 on average), third (256, the last third trained), or
                                         a number of tokens
train_peer.py train MODEL.gguf ROWS P    LoRA r 16 on all linears, 4 rows a step, dropout P; JSON: tokens/s a step, peak MiB
Shorter rows are padded on the right; where only some tokens are trained, only their logits are computed (its best way)."""
import json
import os
import random
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import oracle_model

def rows(path, n, kind):
    import pydoc_data.topics
    text = "\n\n".join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics))
    ids, rng, at = oracle_model.tokenizer(path).encode(text, add_special_tokens=False).ids, random.Random(0), 0
    ids = ids * (n * int(kind) // len(ids) + 1) if kind.isdigit() else ids
    for i in range(n):
        length = round(rng.triangular(60, 350, 130)) if kind == "ragged" else int(kind) if kind.isdigit() else 256
        part = ids[at:at + length]
        at += length
        hidden = 2 * length // 3 if kind == "third" else 0
        print(json.dumps({"input_ids": part, "labels": [-100] * hidden + part[hidden:]}))


def collate(part):
    import torch
    width = max(len(r["input_ids"]) for r in part)
    fill = lambda key, value: torch.tensor([r[key] + [value] * (width - len(r[key])) for r in part])
    ids, labels = fill("input_ids", 2), fill("labels", -100)
    mask = torch.tensor([[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in part])
    return ids, labels, None if bool(mask.all()) else mask


def loss_of(model, ids, labels, mask):
    import torch
    if bool((labels != -100).all()):
        return model(input_ids=ids, labels=labels, use_cache=False).loss
    base = model.get_base_model()
    hidden = base.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    return torch.nn.functional.cross_entropy(base.lm_head(hidden[wanted != -100]), wanted[wanted != -100])


def train(path, data, dropout):
    import torch
    from peft import LoraConfig, get_peft_model
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    batch = [json.loads(line) for line in open(data)]
    model = get_peft_model(oracle_model.load(path), LoraConfig(
        r=16, lora_alpha=64, lora_dropout=dropout, task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
    speeds = []
    for k in range(0, len(batch) - 3, 4):
        ids, labels, mask = collate(batch[k:k + 4])
        start = time.perf_counter()
        loss_of(model, ids, labels, mask).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if k:                                                   # the first step warms up
            speeds.append(round((ids.numel() if mask is None else int(mask.sum())) / (time.perf_counter() - start), 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"tok_s": speeds, "peak_mib": peak}))


if sys.argv[1] == "rows":
    rows(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    train(sys.argv[2], sys.argv[3], float(sys.argv[4]))
