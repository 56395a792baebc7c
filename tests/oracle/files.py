"""Golden data for GGUF, safetensors, model shapes and adapters. Run from the source root:
    python3 tests/oracle/files.py .fetched/SmolLM2-135M-Instruct.Q4_1.gguf
Writes tests/data/gguf/*, tests/data/adapters/*. Needs torch, transformers, peft, gguf, tokenizers; their versions go
into the results. Everything is seeded: a second run writes the same bytes."""
import hashlib, json, os, shutil, sys
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
from importlib.metadata import version
import numpy as np
import torch
import gguf
from gguf import GGMLQuantizationType as Q

C, F, V, L, H, G = 32, 64, 260, 2, 4, 2
SITES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}


def sha(a):
    return hashlib.sha256(np.ascontiguousarray(a, dtype="<f4").tobytes()).hexdigest()


def bits(a):
    return ["%08x" % x for x in np.ascontiguousarray(a, dtype="<f4").view("<u4").ravel()]


def heads(name):
    return H if name == "attn_q" else G


def unpermute(w, n):
    """llama.cpp's order of q and k rows back to Hugging Face's."""
    return w.reshape(n, w.shape[0] // n // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def permute(w, n):
    return w.reshape(n, 2, w.shape[0] // n // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def save(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def smollm(path):
    """First values and SHA-256 of whole decoded tensors of the real model, q and k in Hugging Face's order."""
    r = gguf.GGUFReader(path)
    picks = ["token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
             "blk.29.attn_q.weight", "blk.29.attn_k.weight", "blk.14.attn_output.weight", "blk.14.ffn_gate.weight",
             "blk.29.ffn_up.weight", "blk.29.ffn_down.weight", "blk.7.ffn_norm.weight"]
    out = {}
    for t in r.tensors:
        if t.name not in picks:
            continue
        w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
        if ".attn_q." in t.name or ".attn_k." in t.name:
            w = unpermute(w, 9 if "attn_q" in t.name else 3)
        out[t.name] = {"type": t.tensor_type.name, "shape": list(w.shape), "first": bits(w.ravel()[:8]), "sha256": sha(w)}
    assert len(out) == len(picks)
    return {"file_sha256": hashlib.sha256(open(path, "rb").read()).hexdigest(), "tensors": out}


def inv_freqs():
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
    out = []
    for head, rope in [(64, {"rope_type": "default", "rope_theta": 100000.0}), (64, LLAMA3), (128, {**LLAMA3, "factor": 32.0}), (8, LLAMA3),
                       (80, {"rope_type": "default", "rope_theta": 10000.0})]:
        cfg = LlamaConfig(hidden_size=head * 4, num_attention_heads=4, num_key_value_heads=4, head_dim=head,
                          max_position_embeddings=131072, rope_parameters=dict(rope))
        out.append({"D": head, "rope": rope, "inv_freq": bits(LlamaRotaryEmbedding(cfg).inv_freq.numpy())})
    return out


def vocabulary():
    """GPT-2's 256 byte characters, three special tokens, one merge."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    chars, extra = [], 0
    for b in range(256):
        if b in keep:
            chars.append(chr(b))
        else:
            chars.append(chr(256 + extra))
            extra += 1
    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + chars + [chars[32] + "t"], [chars[32] + " t"]


def tiny_state(seed=7):
    """Random weights by Hugging Face name, bf16 values, so that f32, bf16 and both files hold the same numbers."""
    g = torch.Generator().manual_seed(seed)
    rnd = lambda *s: (torch.randn(*s, generator=g) * 0.3).bfloat16()
    d = C // H
    sd = {"model.embed_tokens.weight": rnd(V, C), "model.norm.weight": rnd(C).abs() + 1}
    shapes = {"attn_q": (H * d, C), "attn_k": (G * d, C), "attn_v": (G * d, C), "attn_output": (C, H * d), "ffn_gate": (F, C), "ffn_up": (F, C), "ffn_down": (C, F)}
    for l in range(L):
        for k, s in shapes.items():
            sd[f"model.layers.{l}.{SITES[k]}.weight"] = rnd(*s)
        sd[f"model.layers.{l}.input_layernorm.weight"] = rnd(C).abs() + 1
        sd[f"model.layers.{l}.post_attention_layernorm.weight"] = rnd(C).abs() + 1
    return sd


def rope_divisors():
    """What llama.cpp's converter stores for LLAMA3: one divisor a pair."""
    d, p = C // H, LLAMA3
    freqs = 1.0 / (p["rope_theta"] ** (torch.arange(0, d, 2, dtype=torch.float32) / d))
    low, high, old = p["low_freq_factor"], p["high_freq_factor"], p["original_max_position_embeddings"]
    out = []
    for f in freqs:
        wave = 2 * torch.pi / f
        if wave < old / high:
            out.append(1)
        elif wave > old / low:
            out.append(p["factor"])
        else:
            s = (old / wave - low) / (high - low)
            out.append(1 / ((1 - s) / p["factor"] + s))
    return np.array(out, dtype=np.float32)


def tiny_gguf(path, sd, types, head_type, rope):
    """Writes a small model with one tensor type a linear; returns SHA-256 by Hugging Face name of the decoded values."""
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(L); w.add_context_length(512); w.add_embedding_length(C); w.add_feed_forward_length(F)
    w.add_head_count(H); w.add_head_count_kv(G); w.add_layer_norm_rms_eps(1e-5); w.add_rope_freq_base(500000.0 if rope else 10000.0)
    w.add_vocab_size(V); w.add_rope_dimension_count(C // H)
    tokens, merges = vocabulary()
    w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("smollm"); w.add_token_list(tokens); w.add_token_merges(merges)
    w.add_token_types([3] * 3 + [1] * (V - 3)); w.add_bos_token_id(1); w.add_eos_token_id(2); w.add_eot_token_id(0); w.add_add_bos_token(False)
    for name, add, value in [("u8", w.add_uint8, 200), ("i8", w.add_int8, -5), ("u16", w.add_uint16, 60000), ("i16", w.add_int16, -300),
                             ("u32", w.add_uint32, 4000000000), ("i32", w.add_int32, -70000), ("f32", w.add_float32, 0.5), ("f64", w.add_float64, 0.1),
                             ("u64", w.add_uint64, 2 ** 63 + 1), ("i64", w.add_int64, -2 ** 40), ("bool", w.add_bool, True), ("str", w.add_string, "olá")]:
        add("test." + name, value)
    w.add_array("test.ints", [1, -2, 3]); w.add_array("test.reals", [0.5, 1.5]); w.add_array("test.bools", [True, False])
    expect = {}

    def put(name, hf, a, qtype):
        q = gguf.quants.quantize(a, qtype)
        expect[hf] = gguf.dequantize(q, qtype).astype(np.float32)
        w.add_tensor(name, q, raw_dtype=qtype)

    f32 = {k: v.float().numpy() for k, v in sd.items()}
    put("token_embd.weight", "model.embed_tokens.weight", f32["model.embed_tokens.weight"], head_type)
    put("output_norm.weight", "model.norm.weight", f32["model.norm.weight"], Q.F32)
    if rope:
        w.add_tensor("rope_freqs.weight", rope_divisors())
    for l in range(L):
        put(f"blk.{l}.attn_norm.weight", f"model.layers.{l}.input_layernorm.weight", f32[f"model.layers.{l}.input_layernorm.weight"], Q.F32)
        put(f"blk.{l}.ffn_norm.weight", f"model.layers.{l}.post_attention_layernorm.weight", f32[f"model.layers.{l}.post_attention_layernorm.weight"], Q.F32)
        for i, (k, site) in enumerate(SITES.items()):
            hf = f"model.layers.{l}.{site}.weight"
            a = permute(f32[hf], heads(k)) if k in ("attn_q", "attn_k") else f32[hf]
            put(f"blk.{l}.{k}.weight", hf, a, types[(i + l) % len(types)])
            if k in ("attn_q", "attn_k"):
                expect[hf] = unpermute(expect[hf], heads(k))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
    return {k: sha(a) for k, a in sorted(expect.items())}


def tiny_dir(path, sd):
    """The same weights as a Hugging Face directory in bf16, saved by transformers and tokenizers."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM
    cfg = LlamaConfig(vocab_size=V, hidden_size=C, intermediate_size=F, num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=G,
                      max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=1, eos_token_id=[2, 0], pad_token_id=2,
                      rope_parameters=dict(LLAMA3))
    m = LlamaForCausalLM(cfg)
    missing, extra = m.load_state_dict({k: v.float() for k, v in sd.items()}, strict=False)
    assert not extra and missing == ["lm_head.weight"]
    m.tie_weights()
    m.to(torch.bfloat16).save_pretrained(path)
    tokens, merges = vocabulary()
    tk = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(x.split(" ")) for x in merges]))
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tk.decoder = decoders.ByteLevel()
    tk.add_special_tokens([AddedToken(t, special=True) for t in tokens[:3]])
    tk.save(os.path.join(path, "tokenizer.json"))
    return m.float()


def adapter(path, base, seed, **config):
    """An adapter saved by PEFT, A and B random; returns SHA-256 of each parameter as it lives in the model."""
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(seed)
    p = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **config))
    out = {}
    for name, v in p.named_parameters():
        if "lora_" in name:
            v.data = torch.randn(v.shape) * 0.1
            out[name.replace(".default.", ".")] = sha(v.detach().numpy())
    if isinstance(p.peft_config["default"].target_modules, set):  # PEFT saves a set in any order
        p.peft_config["default"].target_modules = sorted(p.peft_config["default"].target_modules)
    p.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))
    p.unload()
    return dict(sorted(out.items()))


def main(model):
    g, a = "tests/data/gguf", "tests/data/adapters"
    versions = {n: version(n) for n in ("torch", "transformers", "peft", "gguf", "tokenizers", "safetensors")}
    for d in ("base", "peft", "peft-rs"):
        shutil.rmtree(os.path.join(a, d), ignore_errors=True)
    save(f"{g}/smollm2.json", {"versions": versions, **smollm(model)})
    save(f"{g}/inv_freq.json", {"versions": versions, "cases": inv_freqs()})
    sd = tiny_state()
    mixed = tiny_gguf(f"{g}/good-mixed.gguf", sd, [Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.F16, Q.BF16, Q.F32], Q.Q8_0, False)
    plain = tiny_gguf(f"{g}/good-llama3.gguf", sd, [Q.BF16], Q.BF16, True)
    save(f"{g}/tiny.json", {"versions": versions, "good-mixed.gguf": mixed, "good-llama3.gguf": plain})
    base = tiny_dir(f"{a}/base", sd)
    save(f"{a}/peft.json", {"versions": versions,
        "peft": adapter(f"{a}/peft", base, 1, r=4, lora_alpha=6, lora_dropout=0.25, target_modules=list(s.split(".")[1] for s in SITES.values())),
        "peft-rs": adapter(f"{a}/peft-rs", base, 2, r=3, lora_alpha=5.5, use_rslora=True, target_modules=r".*\.(q_proj|down_proj)")})


main(sys.argv[1])
