"""Twenty LoRA steps by transformers + PEFT in f32 over bitsandbytes' dequantised NF4 weights (as its PyTorch code gives
them), for tests/model/test_qlora.c: losses and gradient norms. The first adapter comes from an integer hash; B is not zero,
so that every gradient is live.
Of the tiny model in tests/data/quant/nf4, token ids from the hash:
    python tests/oracle/qlora_steps.py >tests/data/quant/qlora.json
Of SmolLM2, ids of English prose from the standard library:
    coador quantize --to nf4 --double-quant --allow-requantize -o DIR SmolLM2-135M-Instruct.Q4_1.gguf
    python tests/oracle/qlora_steps.py DIR >tests/data/quant/qlora-smollm2.json"""
import json
import os
import sys
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TORCHDYNAMO_DISABLE"] = "1"
import bitsandbytes.functional as F
import numpy as np
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from hashed import hashed, lowbias
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, BATCH, LENGTH, PROMPT, R, ALPHA, LR, MAX_NORM, WEIGHT_DECAY = 20, 3, 17, 6, 8, 16, 4e-4, 0.3, 0.01
SPREAD = {True: (2.0**-4, 2.0**-4), False: (2.0**-5, 2.0**-7)}  # of the first A and B; the second is SmolLM2's
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def hashed_ids(step):
    return (lowbias(1000 + step, BATCH * LENGTH) % np.uint32(257) + np.uint32(3)).astype(np.int64).tolist()


def prose_ids(directory):
    import pydoc_data.topics
    from tokenizers import Tokenizer
    text = "\n\n".join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics)[:40])
    ids = Tokenizer.from_file(os.path.join(directory, "tokenizer.json")).encode(text, add_special_tokens=False).ids
    return lambda step: ids[step * BATCH * LENGTH:(step + 1) * BATCH * LENGTH]


def base(directory):
    if directory:
        config = AutoConfig.from_pretrained(directory)
        del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "../data/adapters/base"), dtype=torch.float32)
    f = load_file(os.path.join(directory or os.path.join(HERE, "../data/quant/nf4"), "model.safetensors"))
    for name, p in model.named_parameters():
        if "_proj" not in name:
            if directory:
                p.data = f[name].float()
            continue
        state = json.loads(bytes(f[name + ".quant_state.bitsandbytes__nf4"].numpy()).decode())
        absmax = F.dequantize_blockwise(f[name + ".absmax"], absmax=f[name + ".nested_absmax"], code=f[name + ".nested_quant_map"], blocksize=state["nested_blocksize"])
        absmax = absmax + torch.tensor(state["nested_offset"], dtype=torch.float32)
        p.data = _dequantize_4bit_compute(f[name].reshape(-1), absmax, f[name + ".quant_map"], 64, torch.Size(state["shape"]), torch.float32)
    return model


def main(directory):
    draw = prose_ids(directory) if directory else hashed_ids
    spread = SPREAD[not directory]
    model = get_peft_model(base(directory), LoraConfig(r=R, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS, bias="none", task_type="CAUSAL_LM")).train()
    params = {}
    for name, p in model.named_parameters():
        if "lora_" in name:
            part = name.split(".")
            params[int(part[part.index("layers") + 1]) * 14 + TARGETS.index(next(t for t in part if t in TARGETS)) * 2 + ("lora_B" in name)] = p
    for i, p in params.items():
        p.data = torch.from_numpy(hashed(i, p.numel())).reshape(p.shape) * spread[i % 2]
    params = [p for _, p in sorted(params.items())]
    opt = torch.optim.AdamW(params, lr=LR, weight_decay=WEIGHT_DECAY)
    losses, norms, batches = [], [], [draw(step) for step in range(STEPS)]
    for step in range(STEPS):
        ids = torch.tensor(batches[step]).reshape(BATCH, LENGTH)
        logits = model(input_ids=ids).logits.double()[:, PROMPT - 1:-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, PROMPT:].flatten())
        opt.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(params, MAX_NORM)))
        losses.append(float(loss.detach()))
        opt.step()
    json.dump({"versions": {p: version(p) for p in ("bitsandbytes", "peft", "torch", "transformers")}, "steps": STEPS, "batch": BATCH, "length": LENGTH,
               "prompt": PROMPT, "r": R, "alpha": ALPHA, "lr": LR, "max_norm": MAX_NORM, "weight_decay": WEIGHT_DECAY, "spread_a": spread[0], "spread_b": spread[1], "loss": losses, "norm": norms, "ids": batches}, sys.stdout)
    print()


main(sys.argv[1] if len(sys.argv) > 1 else None)
