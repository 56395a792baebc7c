"""What others make of directories that coador writes, asked of transformers 5.23.0 and tokenizers 0.23.3.

    python tests/oracle/hfdir.py tokenizer DIR tests/data/tokenizer   ids of all strings equal the goldens of SmolLM2's vocabulary, by
                                                                      tokenizers and by transformers; prints tokenizer.json's SHA-256
    python tests/oracle/hfdir.py greedy DIR PROMPTS N                 JSONL of {"prompt"} to lines of the number of greedy ids, at most N, and
                                                                      their text as JSON
    python tests/oracle/hfdir.py rope tests/data/hfdir                rope.json: logits of a random two-layer Llama-3.2 shape with
                                                                      llama3 RoPE, at places up to 16,000; test_hfdir.c makes
                                                                      the same weights by the formula below
"""
import hashlib
import json
import sys


def check_tokenizer(folder, data):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer
    t = Tokenizer.from_file(f"{folder}/tokenizer.json")
    t.encode_special_tokens = True
    auto = AutoTokenizer.from_pretrained(folder, split_special_tokens=True)
    texts = [json.loads(s) for s in open(f"{data}/strings.jsonl", encoding="utf-8")]
    want = [s.rstrip("\n") for s in open(f"{data}/ids-smollm2.txt")]
    assert len(texts) == len(want) >= 5000
    for text, line, e in zip(texts, want, t.encode_batch(texts, add_special_tokens=False)):
        ids = ",".join(map(str, e.ids))
        assert hashlib.sha256(ids.encode()).hexdigest()[:6] == line[:6], (text, ids, line)
        again = auto.encode(text, add_special_tokens=False)
        assert again == e.ids, (text, again, e.ids)
    print(hashlib.sha256(open(f"{folder}/tokenizer.json", "rb").read()).hexdigest())


def greedy(folder, prompts, n):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    t = AutoTokenizer.from_pretrained(folder)
    m = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for line in open(prompts, encoding="utf-8"):
        ids = t(json.loads(line)["prompt"], add_special_tokens=False, return_tensors="pt")
        out = m.generate(**ids, max_new_tokens=int(n), do_sample=False, pad_token_id=0)
        new = out[0, ids["input_ids"].shape[1]:]
        print(json.dumps([len(new), t.decode(new, skip_special_tokens=True)], ensure_ascii=False, separators=(",", ":")))


def uniform(key, n):
    """-1..1 from a counter: splitmix64's finaliser, as tests/model/tiny.h."""
    import numpy as np
    with np.errstate(over="ignore"):
        z = np.uint64(key << 32) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1).astype(np.float32)


SHAPE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": 260, "hidden_size": 64,
         "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
         "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
         "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                          "original_max_position_embeddings": 8192},
         "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": 2, "dtype": "float32"}
PLACES = [0, 1, 100, 2000, 8191, 8192, 12345, 16000]


def rope(out):
    import numpy as np
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    m = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    names = ["model.embed_tokens.weight"]
    for i in range(2):
        names += [f"model.layers.{i}.{s}.weight" for s in (
            "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
            "mlp.up_proj", "mlp.down_proj", "post_attention_layernorm")]
    names.append("model.norm.weight")
    state = m.state_dict()
    for key, name in enumerate(names):
        shape = state[name].shape
        x = uniform(key, int(np.prod(shape))) * np.float32(0.375)  # exact in both languages
        state[name].copy_(torch.from_numpy(x + np.float32(1) if len(shape) == 1 else x).reshape(shape))
    i = np.arange(PLACES[-1] + 1)
    ids = torch.tensor((i * i * 31 + i * 17 + 5) % 260)[None]
    with torch.no_grad():
        hidden = m.model(input_ids=ids).last_hidden_state[0, PLACES]
        logits = m.lm_head(hidden)
    rows = [[float(f"{v:.8g}") for v in row] for row in logits[:, ::4].tolist()]
    json.dump({"config": SHAPE, "tensors": [[n, list(state[n].shape)] for n in names], "places": PLACES, "every": 4,
               "largest": [float(f"{v:.8g}") for v in logits.abs().amax(1).tolist()], "logits": rows}, open(f"{out}/rope.json", "w"), separators=(",", ":"))


{"tokenizer": check_tokenizer, "greedy": greedy, "rope": rope}[sys.argv[1]](*sys.argv[2:])
