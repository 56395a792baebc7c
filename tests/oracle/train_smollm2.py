"""SmolLM2-135M-Instruct from its GGUF as transformers' model in f32, and its tokenizer, for train_tiny.py."""
import torch
from gguf import GGUFReader, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

LINEARS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm"}


def tokenizer(kv):
    names, kinds = kv("tokenizer.ggml.tokens"), kv("tokenizer.ggml.token_type")
    tk = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(names)}, merges=[tuple(x.split(" ")) for x in kv("tokenizer.ggml.merges")]))
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tk.decoder = decoders.ByteLevel()
    tk.add_special_tokens([AddedToken(t, special=True) for t, kind in zip(names, kinds) if kind == 3])
    return tk


def load(path):
    reader = GGUFReader(path)
    kv = lambda key: reader.fields[key].contents()
    at = lambda key: kv("llama." + key)
    heads = {"attn_q": at("attention.head_count"), "attn_k": at("attention.head_count_kv")}
    cfg = LlamaConfig(vocab_size=at("vocab_size"), hidden_size=at("embedding_length"), intermediate_size=at("feed_forward_length"),
        num_hidden_layers=at("block_count"), num_attention_heads=heads["attn_q"], num_key_value_heads=heads["attn_k"],
        max_position_embeddings=at("context_length"), rms_norm_eps=at("attention.layer_norm_rms_epsilon"), tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": at("rope.freq_base")}, attn_implementation="eager")
    state = {}
    for t in reader.tensors:
        w = torch.from_numpy(dequantize(t.data, t.tensor_type).astype("float32").copy())
        part = t.name.split(".")
        if part[0] != "blk":
            state[{"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}[part[0]]] = w
            continue
        if part[2] in heads:  # llama.cpp interleaves the two halves of each head's rotation
            w = w.reshape(heads[part[2]], -1, 2, w.shape[1]).transpose(1, 2).reshape(w.shape)
        state[f"model.layers.{part[1]}.{LINEARS[part[2]]}.weight"] = w
    m = LlamaForCausalLM(cfg)
    missing, unexpected = m.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    m.tie_weights()
    return m.to(torch.float32), tokenizer(kv)
