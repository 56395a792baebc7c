#!/usr/bin/env python3
"""transformers + PEFT on the work of bench.sh: its rows, and the speed and memory of training on them in fp32.
train_peer.py rows MODEL.gguf N          N pre-tokenised rows of 256 tokens of the standard library's English prose, JSONL
train_peer.py train MODEL.gguf ROWS P    LoRA r 16 on all linears, 4 rows a step, dropout P; JSON: tokens/s a step, peak MiB"""
import json
import os
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import oracle_model

LENGTH = 256


def rows(path, n):
    import pydoc_data.topics
    text = "\n\n".join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics))
    ids = oracle_model.tokenizer(path).encode(text, add_special_tokens=False).ids
    for i in range(n):
        part = ids[i * LENGTH:(i + 1) * LENGTH]
        print(json.dumps({"input_ids": part, "labels": part}))


def train(path, data, dropout):
    import torch
    from peft import LoraConfig, get_peft_model
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    batch = [json.loads(line)["input_ids"] for line in open(data)]
    model = get_peft_model(oracle_model.load(path), LoraConfig(
        r=16, lora_alpha=64, lora_dropout=dropout, task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
    speeds = []
    for k in range(0, len(batch) - 3, 4):
        ids = torch.tensor(batch[k:k + 4])
        start = time.perf_counter()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if k:                                                   # the first step warms up
            speeds.append(round(ids.numel() / (time.perf_counter() - start), 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"tok_s": speeds, "peak_mib": peak}))


if sys.argv[1] == "rows":
    rows(sys.argv[2], int(sys.argv[3]))
else:
    train(sys.argv[2], sys.argv[3], float(sys.argv[4]))
