#!/usr/bin/env python3
"""Decoding, reading of prompts, answers and start-up beside llama.cpp and transformers: each pair in turn, in one run.
One CSV line a row on stdout, in the format of tests/bench/results:
date,machine,threads,load,work,unit,ours_median,ours_best,peer,peer_median,peer_best,ratio_of_medians,floor,share_of_floor
usage: decode.py BUILD MODEL.gguf [ROW ...]   rows: decode types prefill first answers (default: all)
RUNS (5) measurements a side; BATCHES (1 8 32); THREADS (2); BENCH_CLOCK=cpu: processor time of one thread, for machines that have other work
(decode, types, prefill); GB_S (31): for the floor; ROWS: a file of prompts (JSONL) for `answers`, of which the first 200 count.
Peers: llama-cpp-python, torch, transformers, gguf, numpy."""
import ctypes, datetime, json, os, statistics, subprocess, sys, tempfile, time

if len(sys.argv) < 3:
    sys.exit(__doc__)
BUILD, MODEL, WANTED = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:] or ["decode", "types", "prefill", "first", "answers"]
CPU = "BENCH_CLOCK" in os.environ
RUNS, THREADS, TOKENS = int(os.environ.get("RUNS", 5)), 1 if CPU else int(os.environ.get("THREADS", 2)), int(os.environ.get("TOKENS", 64))
now = time.process_time if CPU else time.perf_counter
GENERATE = os.path.join(BUILD, "libexec/coador/generate")
LOAD = open("/proc/loadavg").read().split()[0]
MACHINE = next(l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))


def row(work, unit, ours, peer, theirs, higher=True, floor=None):
    """ours, theirs: figures of each run"""
    a, b = statistics.median(ours), statistics.median(theirs)
    best = max if higher else min
    print(f'{datetime.date.today()},"{MACHINE}",{THREADS},{LOAD},"{work}",{unit},{a:.4g},{best(ours):.4g},"{peer}",{b:.4g},{best(theirs):.4g},{(a / b if higher else b / a):.3f},'
          + (f"{floor:.0f},{a / floor:.2f}" if floor else "-,-"), flush=True)


class Ours:
    """tests/bench/model, which stays open"""
    def __init__(self, model, compute):
        self.p = subprocess.Popen([os.path.join(BUILD, "tests/bench/model"), model, compute, str(THREADS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, command):
        self.p.stdin.write(command + "\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline())

    def close(self):
        self.p.stdin.close()
        self.p.wait()


class Llama:
    """llama.cpp by its low-level interface, with flash attention"""
    def __init__(self, model, seqs, n_ctx):
        import llama_cpp, numpy
        self.L, self.np = llama_cpp, numpy
        L = llama_cpp
        Llama.silent = L.llama_log_callback(lambda *_: None)  # of the class: the library keeps calling it when we are gone
        L.llama_log_set(Llama.silent, ctypes.c_void_p(0))
        L.llama_backend_init()
        self.model = L.llama_model_load_from_file(model.encode(), L.llama_model_default_params())
        self.V = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        p = L.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_threads, p.n_threads_batch, p.n_seq_max, p.flash_attn_type = n_ctx, 512, 512, THREADS, THREADS, seqs, 1
        self.ctx = L.llama_init_from_model(self.model, p)
        self.batch = L.llama_batch_init(512, 0, 1)

    def feed(self, rows):
        """rows: (token, position, sequence, whether its logits are wanted); the best ids after those"""
        b = self.batch
        b.n_tokens = len(rows)
        for i, (token, pos, seq, want) in enumerate(rows):
            b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = token, pos, 1, want
            b.seq_id[i][0] = seq
        assert self.L.llama_decode(self.ctx, b) == 0
        return [int(self.np.ctypeslib.as_array(self.L.llama_get_logits_ith(self.ctx, i), shape=(self.V,)).argmax()) for i, r in enumerate(rows) if r[3]]

    def __call__(self, command):
        what, *n = command.split()
        n = [int(x) for x in n]
        self.L.llama_memory_clear(self.L.llama_get_memory(self.ctx), True)
        token = lambda i: (i * 37 + 1000) % self.V
        if what == "prefill":
            t = now()
            self.feed([(token(i), i, 0, i == n[0] - 1) for i in range(n[0])])
            return now() - t
        ids = self.feed([(token(i), i % 8, i // 8, i % 8 == 7) for i in range(8 * n[0])])
        t = now()
        for k in range(n[1]):
            ids = self.feed([(x, 8 + k, s, True) for s, x in enumerate(ids)])
        return now() - t

    def close(self):
        self.L.llama_batch_free(self.batch)
        self.L.llama_free(self.ctx)
        self.L.llama_model_free(self.model)


def in_turn(sides, command, count):
    """Rates of RUNS runs of every side, after one to warm up"""
    got = [[] for _ in sides]
    for i in range(RUNS + 1):
        for s, g in zip(sides, got):
            x = count / s(command)
            if i:
                g.append(x)
    return got


def decode(model, name, batches):
    sides = [Ours(model, "int8"), Ours(model, "f32"), Llama(model, max(batches), 128 * max(batches))]
    for b in batches:
        int8, f32, peer = in_turn(sides, f"decode {b} {TOKENS}", b * TOKENS)
        floor = b * float(os.environ.get("GB_S", 31)) * 1e9 / os.path.getsize(model)
        row(f"decode {name}, batch {b}, int8", "tokens/s", int8, "llama.cpp, flash attention", peer, floor=floor)
        row(f"decode {name}, batch {b}, f32", "tokens/s", f32, "llama.cpp, flash attention", peer, floor=floor)
    for s in sides:
        s.close()


def types(work):
    import llama_cpp as L
    for name in ("Q4_0", "Q8_0"):
        path = os.path.join(work, name + ".gguf")
        p = L.llama_model_quantize_default_params()
        p.allow_requantize, p.pure, p.nthread = True, True, THREADS
        p.ftype = L.LLAMA_FTYPE_MOSTLY_Q4_0 if name == "Q4_0" else L.LLAMA_FTYPE_MOSTLY_Q8_0
        assert L.llama_model_quantize(MODEL.encode(), path.encode(), ctypes.byref(p)) == 0
        decode(path, name, [1])


def transformers():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_num_threads(THREADS)
    where = dict(pretrained_model_name_or_path=os.path.dirname(MODEL), gguf_file=os.path.basename(MODEL))
    return torch, AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(**where)


def prefill():
    torch, model, _ = transformers()

    def theirs(command):
        x = torch.tensor([[(i * 37 + 1000) % model.config.vocab_size for i in range(512)]])
        t = now()
        with torch.no_grad():
            model(input_ids=x, logits_to_keep=1)
        return now() - t
    sides = [Ours(MODEL, "f32"), Ours(MODEL, "int8"), theirs]
    f32, int8, peer = in_turn(sides, "prefill 512", 512)
    row("prefill 512, f32", "tokens/s", f32, "transformers fp32", peer)
    row("prefill 512, int8", "tokens/s", int8, "transformers fp32", peer)


FIRST = """
import sys, time
sys.argv = ["decode.py"] + sys.argv[1:]
exec(open(sys.argv[3]).read().split("def in_turn")[0])
import llama_cpp
t = time.perf_counter()
l = Llama(MODEL, 1, 512)
p = b" ".join([b"word"] * 32)
a = (l.L.llama_token * 64)()
n = l.L.llama_tokenize(l.L.llama_model_get_vocab(l.model), p, len(p), a, 64, False, False)
l.feed([(a[i], i, 0, i == n - 1) for i in range(n)])
print(time.perf_counter() - t)
"""


def first(work):
    """Ours from the start of the process to the answer's line; llama.cpp's without the start of Python and its imports"""
    prompt = os.path.join(work, "prompt")
    open(prompt, "w").write(json.dumps({"prompt": " ".join(["word"] * 32)}) + "\n")

    def ours(compute):
        t = time.perf_counter()
        subprocess.run([GENERATE, "--device", "cpu", "--threads", str(THREADS), "--compute", compute, "--model", MODEL, "--batch", "1", "-n", "1", prompt], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - t
    got = [[], [], []]
    for i in range(RUNS + 1):
        x = ours("int8"), ours("f32"), float(subprocess.run([sys.executable, "-c", FIRST, BUILD, MODEL, __file__], check=True, capture_output=True, text=True).stdout)
        for g, v in zip(got, x):
            if i:
                g.append(v * 1000)
    row("time to first token, int8", "ms", got[0], "llama.cpp", got[2], False)
    row("time to first token, f32", "ms", got[1], "llama.cpp", got[2], False)


ANSWERS = """
import sys
exec(open(sys.argv[3]).read().split("def prefill")[0])
rows = [json.loads(l)["prompt"] for l in open(sys.argv[4])]
torch, model, tok = transformers()
tok.padding_side = "left"
tok.pad_token = tok.pad_token or tok.eos_token
for i in range(0, len(rows), 8):
    x = tok(rows[i:i + 8], return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        model.generate(**x, max_new_tokens=24, do_sample=False, pad_token_id=tok.pad_token_id)
"""


def answers(work):
    if "ROWS" not in os.environ:
        sys.exit("answers: ROWS=FILE is missing (test.jsonl of pipelines/nyt)")
    rows = os.path.join(work, "rows")
    open(rows, "w").writelines(open(os.environ["ROWS"]).readlines()[:200])
    cmd = lambda c: [GENERATE, "--device", "cpu", "--threads", str(THREADS), "--compute", c, "--model", MODEL, "--batch", "8", "-n", "24", rows]
    got = [[], [], []]
    for _ in range(RUNS):
        for g, c in zip(got, (cmd("int8"), cmd("f32"), [sys.executable, "-c", ANSWERS, BUILD, MODEL, __file__, rows])):
            t = time.perf_counter()
            subprocess.run(c, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            g.append(time.perf_counter() - t)
    row("200 answers of pipelines/nyt, start included, int8", "s", got[0], "transformers generate, batch 8", got[2], False)
    row("200 answers of pipelines/nyt, start included, f32", "s", got[1], "transformers generate, batch 8", got[2], False)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        if "decode" in WANTED:
            decode(MODEL, "Q4_1", [int(b) for b in os.environ.get("BATCHES", "1 8 32").split()])
        if "types" in WANTED:
            types(work)
        if "prefill" in WANTED:
            prefill()
        if "first" in WANTED:
            first(work)
        if "answers" in WANTED:
            answers(work)
