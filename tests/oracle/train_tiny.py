"""A tiny random Llama with a byte-level tokenizer, training rows, and what transformers + PEFT make of them in 20 steps
from coador's own initial adapter: tests/data/train/{tiny,rows.jsonl,eval.jsonl,peft.json}. (The real
model's twenty steps are in lora_steps.py.)
Run once with torch 2.15.0, transformers 5.23.0, peft 0.21.2, tokenizers, safetensors:
    python3 tests/oracle/train_tiny.py tests/data/train"""
import json, os, random, shutil, sys
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
torch.set_num_threads(1)
random.seed(0)
SITES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
INPUT = {"q_proj": 0, "k_proj": 0, "v_proj": 0, "o_proj": 1, "gate_proj": 2, "up_proj": 2, "down_proj": 3}


def tokenizer():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tk = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    tk.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tk.decoder = decoders.ByteLevel()
    tk.add_special_tokens([AddedToken(t, special=True) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    return tk


def model():
    cfg = LlamaConfig(vocab_size=264, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=258, pad_token_id=258, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        initializer_range=0.2, attn_implementation="eager")
    m = LlamaForCausalLM(cfg).to(torch.bfloat16)
    return m


def rows(n):
    words = "o mercado caiu ontem mas hoje a bolsa subiu e todos ficaram felizes com as boas notícias 😀".split()
    for i in range(n):
        text = " ".join(random.choices(words, k=random.randint(2, 9)))
        label = random.choice(["Positivo", "Negativo", "Neutro"])
        yield {"id": str(i), "prompt": f"Texto: {text}\nResultado:", "completion": ' {"p": "%s"}' % label}


def philox(key, counter):
    """Philox4x32-10; counter: four arrays of uint32."""
    c = [np.asarray(x, np.uint64) for x in counter]
    k0, k1 = (np.uint64(x) for x in key)
    low = np.uint64(0xffffffff)
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k0, p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ k1, p0 & low]
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return c


class Mask(torch.nn.Module):
    """The mask of kernels/dropout.h in the place of PEFT's lora_dropout."""
    step, seed = 0, 0

    def __init__(self, layer, site, p):
        super().__init__()
        self.layer, self.site, self.p = layer, site, p

    def forward(self, x):
        B, T, C = x.shape
        col, pos, seq = np.arange(C), np.arange(T), np.arange(B) + Mask.first
        shape = (B, T, C)
        full = lambda a, i: np.broadcast_to(a.reshape([-1 if k == i else 1 for k in range(3)]), shape)
        key = (Mask.seed & 0xffffffff, (Mask.seed >> 32) ^ (self.layer << 8 | self.site))
        lanes = philox(key, [full(col // 4, 2), full(pos, 1), full(seq, 0), np.full(shape, Mask.step)])
        u = np.choose(np.broadcast_to(col % 4, shape), lanes)
        keep = u >= np.uint64(int(np.floor(self.p * 2**32)))
        return x * torch.from_numpy(keep) / (1 - self.p)


def mix(x):
    """splitmix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    return x ^ (x >> np.uint64(31))


def initial(layer, site, r, cols, seed):
    """A of common/model/lora.c: Kaiming uniform from a counter."""
    with np.errstate(over="ignore"):
        golden = np.uint64(0x9e3779b97f4a7c15)
        key = mix(np.uint64(seed) + np.uint64(layer * 7 + site + 1) * golden)
        u = (mix(key + (np.arange(r * cols, dtype=np.uint64) + np.uint64(1)) * golden) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    bound = np.float32(1 / np.sqrt(float(cols)))
    return torch.from_numpy(bound * (np.float32(2) * u - np.float32(1))).reshape(r, cols)


def hard(logits, labels, at):
    """Summed loss of a row's trained tokens; at: its number among the rows."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=-100)


def train(m, end, tk, data, r, dropout, clip, lr, size, loss_of=hard):
    m = get_peft_model(m, LoraConfig(r=r, lora_alpha=4 * r, lora_dropout=dropout, target_modules=SITES, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, p in m.named_parameters():
            if "lora_A" in name:
                q = name.split(".")
                site = next(i for i, x in enumerate(SITES) if x in q)
                p.copy_(initial(int(q[q.index("layers") + 1]), site, r, p.shape[1], 7))
    if dropout:
        for name, mod in m.named_modules():
            if hasattr(mod, "lora_dropout"):
                p = name.split(".")
                mod.lora_dropout["default"] = Mask(int(p[p.index("layers") + 1]), INPUT[p[-1]], dropout)
    m.train()
    params = [p for p in m.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=lr, weight_decay=0.01)
    losses, norms = [], []
    enc = []
    for row in data:
        a, b = tk.encode(row["prompt"]).ids, tk.encode(row["completion"]).ids + [end]
        enc.append((a + b, [-100] * len(a) + b))
    for step in range(20):
        part = enc[step * size % len(enc):][:size]
        n = sum(sum(x != -100 for x in l) for _, l in part)
        opt.zero_grad()
        total = 0.0
        for i, (ids, labels) in enumerate(part):
            Mask.step, Mask.seed, Mask.first = step + 1, 7, i
            logits = m(input_ids=torch.tensor([ids])).logits[0, :-1]
            loss = loss_of(logits, torch.tensor(labels[1:]), (step * size + i) % len(enc)) / n
            loss.backward()
            total += loss.item()
        losses.append(total)
        norms.append(torch.nn.utils.clip_grad_norm_(params, clip).item())
        opt.step()
    return {"loss": losses, "grad_norm": norms}


def main(out):
    os.makedirs(out, exist_ok=True)
    tk, m = tokenizer(), model()
    base = out + "/tiny"
    shutil.rmtree(base, ignore_errors=True)
    m.save_pretrained(base)
    tk.save(base + "/tokenizer.json")
    data = list(rows(40))
    for name, part in (("rows", data), ("eval", list(rows(8)))):
        with open(f"{out}/{name}.jsonl", "w") as f:
            f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in part)
    golden = {}
    for r in (4, 16):
        for dropout in (0.0, 0.1):
            m = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
            golden[f"r{r}-dropout{dropout:g}"] = train(m, 258, tk, data, r, dropout, 0.3, 4e-3, 4)
    json.dump(golden, open(out + "/peft.json", "w"), indent=1)


if __name__ == "__main__":
    main(sys.argv[1])
