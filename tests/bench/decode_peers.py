#!/usr/bin/env python3
"""The peers of decode.py, each a process that can be given up. Commands on stdin, seconds on stdout, as tests/bench/model.c:
  decode B N    B sequences of 8 tokens go on for N tokens, greedily
  prefill N     N tokens of one sequence, logits of the last
decode_peers.py llama MODEL.gguf THREADS SEQS N_CTX     llama.cpp with flash attention, by its low-level interface
decode_peers.py transformers DIR THREADS                fp32
and, without commands:
decode_peers.py first MODEL.gguf THREADS                seconds from loading to the first token of a prompt, Python's own start left out
decode_peers.py answers DIR THREADS ROWS NEW [ADAPTER]  transformers' generate over the rows' prompts in batches of 8, PEFT's adapter
decode_peers.py dequantise MODEL.gguf DIR               the fp32 model and tokenizer that `transformers` and `answers` load
decode_peers.py requantise MODEL.gguf TYPE OUT.gguf     by llama.cpp, the embedding too
BENCH_CLOCK=cpu: processor seconds instead of the clock's."""
import ctypes, json, os, sys, time

now = time.process_time if "BENCH_CLOCK" in os.environ else time.perf_counter


class Llama:
    def __init__(self, model, threads, seqs, n_ctx):
        import llama_cpp as L, numpy
        self.L, self.np = L, numpy
        self.silent = L.llama_log_callback(lambda *_: None)
        L.llama_log_set(self.silent, ctypes.c_void_p(0))
        L.llama_backend_init()
        self.model = L.llama_model_load_from_file(model.encode(), L.llama_model_default_params())
        self.V = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        p = L.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_threads, p.n_threads_batch, p.n_seq_max, p.flash_attn_type = n_ctx, 512, 512, threads, threads, seqs, 1
        self.ctx = L.llama_init_from_model(self.model, p)
        self.batch = L.llama_batch_init(512, 0, 1)

    def feed(self, rows):
        """rows: (token, position, sequence, whether its logits are wanted); the best ids after those"""
        b = self.batch
        b.n_tokens = len(rows)
        for i, (token, pos, seq, want) in enumerate(rows):
            b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = token, pos, 1, want
            b.seq_id[i][0] = seq
        if self.L.llama_decode(self.ctx, b):
            sys.exit("llama_decode failed")
        return [int(self.np.ctypeslib.as_array(self.L.llama_get_logits_ith(self.ctx, i), shape=(self.V,)).argmax()) for i, r in enumerate(rows) if r[3]]

    def clear(self):
        self.L.llama_memory_clear(self.L.llama_get_memory(self.ctx), True)

    def prefill(self, n):
        self.clear()
        t = now()
        self.feed([(token(i, self.V), i, 0, i == n - 1) for i in range(n)])
        return now() - t

    def decode(self, seqs, n):
        self.clear()
        ids = self.feed([(token(i, self.V), i % 8, i // 8, i % 8 == 7) for i in range(8 * seqs)])
        t = now()
        for k in range(n):
            ids = self.feed([(x, 8 + k, s, True) for s, x in enumerate(ids)])
        return now() - t


class Transformers:
    def __init__(self, directory, threads):
        import torch
        from transformers import LlamaForCausalLM
        torch.set_num_threads(threads)
        self.torch, self.model = torch, LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32, local_files_only=True).eval()

    def prefill(self, n):
        x = self.torch.tensor([[token(i, self.model.config.vocab_size) for i in range(n)]])
        t = now()
        with self.torch.no_grad():
            self.model(input_ids=x, logits_to_keep=1)
        return now() - t


def token(i, V):
    return (i * 37 + 1000) % V


def serve(peer):
    for line in sys.stdin:
        what, *n = line.split()
        print(getattr(peer, what)(*map(int, n)), flush=True)


def first(model, threads):
    import llama_cpp, numpy
    t = now()
    l = Llama(model, threads, 1, 512)
    prompt = b" ".join([b"word"] * 32)
    ids = (l.L.llama_token * 64)()
    n = l.L.llama_tokenize(l.L.llama_model_get_vocab(l.model), prompt, len(prompt), ids, 64, False, False)
    l.feed([(ids[i], i, 0, i == n - 1) for i in range(n)])
    print(now() - t)


def answers(directory, threads, rows, new, adapter=None):
    from tokenizers import Tokenizer
    peer = Transformers(directory, threads)
    torch, model, tok = peer.torch, peer.model, Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
    if adapter:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, adapter).eval()
    prompts = [tok.encode(json.loads(line)["prompt"], add_special_tokens=False).ids for line in open(rows, encoding="utf-8")]
    for i in range(0, len(prompts), 8):
        part = prompts[i:i + 8]
        wide = max(map(len, part))
        ids = torch.tensor([[2] * (wide - len(p)) + p for p in part])
        mask = torch.tensor([[0] * (wide - len(p)) + [1] * len(p) for p in part])
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=2)
        for row in out[:, wide:].tolist():
            print(json.dumps(tok.decode(row)))


def dequantise(model, directory):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
    import oracle_model
    oracle_model.load(model).save_pretrained(directory)
    oracle_model.tokenizer(model).save(os.path.join(directory, "tokenizer.json"))


def requantise(model, name, out):
    import llama_cpp as L
    p = L.llama_model_quantize_default_params()
    p.allow_requantize, p.pure, p.nthread, p.ftype = True, True, 2, getattr(L, "LLAMA_FTYPE_MOSTLY_" + name)
    if L.llama_model_quantize(model.encode(), out.encode(), ctypes.byref(p)):
        sys.exit(f"llama.cpp could not make {name}")


if __name__ == "__main__":
    what, *args = sys.argv[1:] or sys.exit(__doc__)
    os.environ["HF_HUB_OFFLINE"] = "1"  # a look-up there, where there is no way out, waits
    args = [int(a) if a.isdigit() else a for a in args]
    if what in ("llama", "transformers"):
        serve({"llama": Llama, "transformers": Transformers}[what](*args))
    else:
        {"first": first, "answers": answers, "dequantise": dequantise, "requantise": requantise}[what](*args)
