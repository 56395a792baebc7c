"""Soft labels and 20 steps of learning from them on the tiny model of train_tiny.py, in f32 (the labels in f64): the teacher is that model with a
random adapter, which is written to DIR/teacher; DIR/soft.json gets what softmax(logits/T) says of the first 120 trained tokens
(the sum of the K likeliest ids, the logarithms of the likeliest one and of the tail) and the losses and gradient norms of training.
Run once with torch 2.15.0, transformers 5.23.0, peft 0.21.2, tokenizers, safetensors:
    python3 tests/oracle/soft_steps.py tests/data/train"""
import json, os, shutil, sys
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM
from train_tiny import train

END, K = 258, 64


def soft_labels(teacher, tk, rows, T):
    """For each row: its ids, and the logarithms of K + 1 buckets for each token of its completion."""
    out = []
    for row in rows:
        a, b = tk.encode(row["prompt"]).ids, tk.encode(row["completion"]).ids + [END]
        with torch.no_grad():
            logits = teacher(input_ids=torch.tensor([a + b])).logits[0, len(a) - 1:-1]
        ids = torch.topk(logits, K).indices.sort().values
        out.append((ids, buckets(logits, ids, T).float()))
    return out


def buckets(logits, ids, T):
    """(n, K + 1): log softmax(logits/T) of ids, and of all the others together."""
    logp = torch.log_softmax(logits / T, -1)
    rest = logp.scatter(-1, ids, float("-inf"))
    return torch.cat([logp.gather(-1, ids), torch.logsumexp(rest, -1, keepdim=True)], -1)


def mixed(soft, T, alpha):
    """The loss of lora-train --teacher-logits, summed over a row's trained tokens."""
    def loss(logits, labels, at):
        ids, logp = soft[at]
        trained = labels != -100
        kl = torch.nn.functional.kl_div(buckets(logits[trained], ids, T), logp, reduction="sum", log_target=True)
        return alpha * T * T * kl + (1 - alpha) * torch.nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=-100)
    return loss


def make_teacher(base, out):
    torch.manual_seed(1)
    m = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    m = get_peft_model(m, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, p in m.named_parameters():
            if "lora_" in name:
                p.normal_(0, 0.5)
    shutil.rmtree(out, ignore_errors=True)
    m.peft_config["default"].base_model_name_or_path = "tiny"
    m.save_pretrained(out)
    os.remove(out + "/README.md")
    return m.eval().double()


def main(out):
    base = out + "/tiny"
    tk = Tokenizer.from_file(base + "/tokenizer.json")
    rows = [json.loads(line) for line in open(out + "/rows.jsonl")]
    teacher = make_teacher(base, out + "/teacher")
    golden = {"labels": {}, "steps": []}
    for T in (1.0, 2.0):
        soft = soft_labels(teacher, tk, rows, T)
        golden["labels"][f"{T:g}"] = [[int(i.sum()), round(float(l[:-1].max()), 6), round(float(l[-1]), 6)] for ids, logp in soft for i, l in zip(ids, logp)][:120]
    for T, alpha, dropout in ((1.0, 1.0, 0.0), (2.0, 0.5, 0.0), (2.0, 0.7, 0.1)):
        m = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        soft = soft_labels(teacher, tk, rows, T)
        golden["steps"].append({"T": T, "alpha": alpha, "dropout": dropout, **train(m, END, tk, rows, 4, dropout, 0.3, 4e-3, 4, mixed(soft, T, alpha))})
    with open(out + "/soft.json", "w") as f:
        f.write(json.dumps(golden).replace('}, {', '},\n{') + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
