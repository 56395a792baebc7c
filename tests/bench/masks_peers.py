"""XGrammar or llguidance behind the protocol of masks.c: requests and answers are JSON lines.
usage: masks_peers.py xgrammar|llguidance VOCABULARY.json   (what `masks --vocab` printed, "tokenizer" always in it)
Called as their READMEs and MaskBench call them; the calls go through their Python bindings, which costs each well below 1 µs."""
import json, os, signal, sys, time
import numpy as np

vocabulary = json.load(open(sys.argv[2]))
tokens, special, eos = [bytes.fromhex(t) for t in vocabulary["tokens"]], vocabulary["special"], vocabulary["eos"]


class XGrammar:
    def __init__(self):
        import xgrammar
        self.xg = xgrammar
        of = set(special)
        info = xgrammar.TokenizerInfo([b"" if i in of and i not in eos else t for i, t in enumerate(tokens)], xgrammar.VocabType.RAW, stop_token_ids=eos)
        self.compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.mask = xgrammar.allocate_token_bitmask(1, len(tokens))
        self.words = self.mask.numpy()[0]

    def compile(self, schema): self.grammar = self.compiler.compile_json_schema(json.dumps(schema), any_whitespace=False, strict_mode=True)
    def start(self): self.matcher = self.xg.GrammarMatcher(self.grammar)
    def fill(self): self.matcher.fill_next_token_bitmask(self.mask)
    def take(self, t): return self.matcher.accept_token(t)
    def done(self): return self.matcher.accept_token(eos[0])


class LLGuidance:
    def __init__(self):
        import llguidance, llguidance.numpy as numpy_
        self.ll, self.numpy = llguidance, numpy_
        self.tokenizer = llguidance.LLTokenizer(json.dumps(vocabulary["tokenizer"]), n_vocab=len(tokens), eos_token=eos)
        self.mask = numpy_.allocate_token_bitmask(1, len(tokens))
        self.words = self.mask[0]

    def compile(self, schema):
        self.grammar = self.ll.LLMatcher(self.tokenizer, self.ll.LLMatcher.grammar_from_json_schema(json.dumps(schema)))
        if self.grammar.is_error(): raise ValueError(self.grammar.get_error())

    def start(self): self.matcher = self.grammar.deep_copy()
    def fill(self): self.numpy.fill_next_token_bitmask(self.matcher, self.mask, 0)
    def take(self, t): return self.matcher.consume_token(t)
    def done(self): return self.matcher.is_accepting()


clock = time.thread_time if os.environ.get("BENCH_CLOCK") else time.perf_counter


def timed(into, unit, call, *args):
    t = clock()
    r = call(*args)
    into.append((clock() - t) * unit)
    return r


def accepts(e, ids, a):
    e.start()
    for t in ids:
        timed(a["fill_us"], 1e6, e.fill)
        if not int(e.words[t >> 5]) >> (t & 31) & 1 or not timed(a["take_us"], 1e6, e.take, t): return False
    return e.done()


def answer(e, q):
    a = dict(accepted=[], compile_ms=[], fill_us=[], take_us=[])
    try:
        for _ in range(q.get("compiles", 1)): timed(a["compile_ms"], 1e3, e.compile, q["schema"])
        for ids in q["ids"]: a["accepted"].append(bool(accepts(e, ids, a)))
    except Exception as x:
        a["error"] = str(x) or repr(x)
    return a


out = os.fdopen(os.dup(1), "w")  # what the libraries print goes elsewhere
os.dup2(2, 1)
engine = dict(xgrammar=XGrammar, llguidance=LLGuidance)[sys.argv[1]]()
for line in sys.stdin:
    signal.setitimer(signal.ITIMER_PROF, int(os.environ.get("BENCH_LIMIT", 0)))  # the signal ends the program
    a = answer(engine, json.loads(line))
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(json.dumps(a), file=out, flush=True)
