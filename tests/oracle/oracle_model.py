"""SmolLM2 for the oracles: its GGUF as a transformers model in fp32, its tokenizer by hand, and the data file's frame.

The weights are dequantised by the gguf package; llama.cpp stores the rows of q and k interleaved for its own rotation, so
they are put back in Hugging Face's order. Text is tokenized by the `tokenizers` package as the GGUF's "smollm" says:
single digits, then GPT-2's pattern (the tokenizer that transformers derives from a GGUF leaves the digits out)."""
import json
import os
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

LINEARS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
           "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
           "ffn_down": "mlp.down_proj"}
NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
OUTSIDE = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight", "output": "lm_head.weight"}


def model_path():
    return os.path.join(os.environ.get("FETCHED", ".fetched"), "SmolLM2-135M-Instruct.Q4_1.gguf")


def reader(path):
    from gguf import GGUFReader
    r = GGUFReader(path)
    return r, {k: f.contents() for k, f in r.fields.items()}


def unpermute(w, heads):
    """(heads · D, K) from rotation pairs side by side to halves."""
    n, k = w.shape
    return w.reshape(heads, n // heads // 2, 2, k).transpose(1, 2).reshape(n, k)


def config(meta):
    from transformers import LlamaConfig
    get = lambda key: meta["llama." + key]
    return LlamaConfig(
        vocab_size=get("vocab_size"), hidden_size=get("embedding_length"), intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=get("attention.head_count"),
        num_key_value_heads=get("attention.head_count_kv"), max_position_embeddings=get("context_length"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"), tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base")},
        bos_token_id=1, eos_token_id=2, pad_token_id=2, attn_implementation="sdpa")


def load(path):
    import torch
    from gguf import dequantize
    from transformers import LlamaForCausalLM
    r, meta = reader(path)
    cfg = config(meta)
    state = {}
    for t in r.tensors:
        w = torch.from_numpy(dequantize(t.data, t.tensor_type).astype("float32").copy())
        part = t.name.split(".")
        if part[0] != "blk":
            state[OUTSIDE[part[0]]] = w
            continue
        if part[2] in ("attn_q", "attn_k"):
            w = unpermute(w, cfg.num_attention_heads if part[2] == "attn_q" else cfg.num_key_value_heads)
        state[f"model.layers.{part[1]}.{(LINEARS | NORMS)[part[2]]}.weight"] = w
    m = LlamaForCausalLM(cfg).to(torch.float32)
    missing, unexpected = m.load_state_dict(state, strict=False)
    if unexpected or missing != ["lm_head.weight"]:
        raise SystemExit(f"{path}: missing {missing}, unexpected {unexpected}")
    m.tie_weights()
    return m.eval()


def tokenizer(path):
    """Special tokens' text gives their ids: the prompts here are ours."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    _, meta = reader(path)
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tk = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tk.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tk.decoder = decoders.ByteLevel()
    control = 3  # GGUF's token type
    tk.add_special_tokens([AddedToken(t, special=True) for t, y in zip(tokens, meta["tokenizer.ggml.token_type"]) if y == control])
    return tk


def write(name, data):
    """tests/data/model/NAME.json beside this script, one line a top-level value, with the versions that made it."""
    out = {"made_by": {p: version(p) for p in ("torch", "transformers", "peft", "gguf", "tokenizers")}} | data
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "model", name + ".json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {lines(v)}" for k, v in out.items()) + "\n}\n")
    print(path, os.path.getsize(path), "bytes")


def lines(v):
    if isinstance(v, list) and v and isinstance(v[0], dict):
        return "[\n" + ",\n".join(json.dumps(x, ensure_ascii=False) for x in v) + "\n]"
    return json.dumps(v, ensure_ascii=False)
