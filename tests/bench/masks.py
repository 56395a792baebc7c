"""Token masks beside XGrammar and llguidance: compile time and time a mask, the same documents for all, one run.
usage: masks.py MODEL.gguf BENCH SCHEMA.json [--string FIELD]...   (BENCH: build/tests/bench/masks; needs gguf, tokenizers,
xgrammar, llguidance). --string puts a free string of that name first, as a reasoning does. Prints JSON lines."""
import argparse, json, random, statistics, subprocess, tempfile, time
import gguf, numpy as np
from tokenizers import Tokenizer, AddedToken, models, pre_tokenizers, decoders

ap = argparse.ArgumentParser()
ap.add_argument("model"); ap.add_argument("bench"); ap.add_argument("schema"); ap.add_argument("--string", action="append", default=[])
ap.add_argument("--documents", type=int, default=30)
a = ap.parse_args()

reader = gguf.GGUFReader(a.model)
field = lambda k: reader.fields[k].contents()
toks, types, merges = (field("tokenizer.ggml." + k) for k in ("tokens", "token_type", "merges"))
tk = Tokenizer(models.BPE({t: i for i, t in enumerate(toks)}, [tuple(m.split(" ", 1)) for m in merges]))
tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
tk.decoder = decoders.ByteLevel()
tk.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(toks, types) if k == 3])
eos = field("tokenizer.ggml.eos_token_id")

schema = json.load(open(a.schema))
SENTENCE = ("A primeira frase expressa alegria pela conquista, a segunda lamenta a perda de um amigo e a terceira "
            "apenas descreve o horário do ônibus, sem carga emocional; por isso a última é neutra.")
if a.string:
    schema["properties"] = {k: {"type": "string"} for k in a.string} | schema["properties"]
    schema["required"] = a.string + schema["required"]


def instance(s, rng):
    if "enum" in s: return rng.choice(s["enum"])
    if s.get("type") == "object": return {k: instance(v, rng) for k, v in s["properties"].items()}
    if s.get("type") == "string": return SENTENCE
    raise SystemExit(f"no instance for {s}")


docs = [tk.encode(json.dumps(instance(schema, random.Random(d)), ensure_ascii=False)).ids for d in range(a.documents)]


def timed(fn):
    t = time.perf_counter(); r = fn()
    return r, time.perf_counter() - t


def summary(s):
    s = sorted(x * 1e6 for x in s)
    return dict(n=len(s), mean_us=round(statistics.mean(s), 3), p50_us=round(s[len(s) // 2], 3), p99_us=round(s[int(0.99 * (len(s) - 1))], 3), max_us=round(s[-1], 3))


class XGrammar:
    def __init__(self):
        import xgrammar as xg
        self.xg = xg
        info = xg.TokenizerInfo(toks, xg.VocabType.BYTE_LEVEL, vocab_size=len(toks), stop_token_ids=[eos])
        self.compiler = xg.GrammarCompiler(info, max_threads=2, cache_enabled=False)
        self.mask = xg.allocate_token_bitmask(1, len(toks))
    def compile(self): return self.compiler.compile_json_schema(json.dumps(schema))
    def start(self, g): self.m = self.xg.GrammarMatcher(g)
    def fill(self): self.m.fill_next_token_bitmask(self.mask)
    def accept(self, t): assert self.m.accept_token(t)


class LLGuidance:
    def __init__(self):
        import llguidance, llguidance.numpy as lln
        self.ll, self.lln = llguidance, lln
        self.tok = llguidance.LLTokenizer(tk.to_str(), n_vocab=len(toks), eos_token=eos)
        self.mask = lln.allocate_token_bitmask(1, len(toks))
    def compile(self):
        m = self.ll.LLMatcher(self.tok, self.ll.LLMatcher.grammar_from_json_schema(json.dumps(schema)))
        assert not m.is_error(), m.get_error()
        return m
    def start(self, g): self.m = g.deep_copy()
    def fill(self): self.lln.fill_next_token_bitmask(self.m, self.mask, 0)
    def accept(self, t): assert self.m.consume_token(t)


def peer(cls):
    e, setup = timed(cls)
    runs = [timed(e.compile) for _ in range(9)]
    times, first, rest = sorted(t for _, t in runs), [], []
    for d, ids in enumerate(docs):
        e.start(runs[0][0])
        for t in ids:
            _, dt = timed(e.fill)
            assert int(np.asarray(e.mask).reshape(-1)[t >> 5]) >> (t & 31) & 1
            (rest if d else first).append(dt); e.accept(t)
    return dict(vocab_ms=round(setup * 1e3, 3), compile_ms_first=round(runs[0][1] * 1e3, 4), compile_ms_min=round(times[0] * 1e3, 4), compile_ms_median=round(times[4] * 1e3, 4),
                mask_first_document=summary(first), mask=summary(rest))


with tempfile.TemporaryDirectory() as dir:
    json.dump(schema, open(dir + "/s.json", "w")); open(dir + "/ids", "w").writelines(" ".join(map(str, d)) + "\n" for d in docs)
    for name, run in (("coador", lambda: json.loads(subprocess.check_output([a.bench, a.model, dir + "/s.json", dir + "/ids"]))),
                      ("xgrammar", lambda: peer(XGrammar)), ("llguidance", lambda: peer(LLGuidance))):
        print(json.dumps({"engine": name, "documents": len(docs), "strings": a.string} | run()), flush=True)
