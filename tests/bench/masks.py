"""Token masks beside XGrammar and llguidance over schemas with valid and invalid instances; see masks.sh, which calls it."""
import argparse, collections, json, os, random, signal, subprocess, sys, tempfile

ap = argparse.ArgumentParser(prog="masks.sh", description="Schemas compiled, instances accepted and refused, times of compiling and of masks: "
                             "coador, XGrammar, llguidance, each file by all of them in turn. One table on stdout.")
ap.add_argument("files", nargs="*", metavar="DIR|FILE", help='folders of {"schema": …, "tests": [{"valid": …, "data": …}]}, or such files '
                "(MaskBench's in $SUITES)")
ap.add_argument("--bench", help=argparse.SUPPRESS)
ap.add_argument("--tokenizer", help="GGUF file or tokenizer.json (SmolLM2)")
ap.add_argument("--schema", metavar="FILE", help="instead of files one plain schema of objects, enums and strings, with documents made up for it")
ap.add_argument("--string", metavar="FIELD", action="append", default=[], help="with --schema: a free string of this name first, as a reasoning; may be repeated")
ap.add_argument("--every", metavar="N", type=int, default=1, help="only every Nth file, by name")
ap.add_argument("--engines", default="coador,annotate,xgrammar,llguidance", help="which, by commas (coador,annotate,xgrammar,llguidance; "
                "annotate: coador with --unknown-keywords annotate)")
ap.add_argument("--limit", metavar="SECONDS", type=int, default=10, help="of processor time that a file may take an engine (10)")
ap.add_argument("--memory", metavar="GB", type=int, default=6, help="address space of an engine (6)")
ap.add_argument("--details", metavar="FILE", help="one JSON line a file and engine: compile_ms, mask_us of the worst mask, what went wrong")
a = ap.parse_args()
NAMES = dict(coador="coador", annotate="coador, unknown keywords annotated", xgrammar="XGrammar", llguidance="llguidance")
PASSES = 9  # compilations of one plain schema: their median counts


class Worker:
    """An engine in a process of its own, begun again when it dies."""
    def __init__(self, *command): self.command, self.process = command, None

    def ask(self, q):
        if not self.process:
            memory = f"ulimit -v {a.memory << 20}; exec \"$@\""
            self.process = subprocess.Popen(["bash", "-c", memory, "-", *self.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.DEVNULL, text=True, env=os.environ | {"BENCH_LIMIT": str(a.limit)})
        try:
            self.process.stdin.write(json.dumps(q) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError: pass
        line = self.process.stdout.readline()
        if line: return json.loads(line)
        code = self.process.wait()
        self.process = None
        return {"died": "limit" if code == -signal.SIGPROF else f"exit {code}"}


class Totals:
    def __init__(self): self.n, self.times = collections.Counter(), collections.defaultdict(list)

    def add(self, tests, r, first):
        """first: masks to keep apart, those of a plain schema's first document, which meets most states for the first time."""
        self.n["files"] += 1
        if "died" in r:
            self.n["limit" if r["died"] == "limit" else "crash"] += 1
            return r["died"]
        if "error" in r:
            self.n["error"] += 1
            return r["error"]
        self.times["first_us"] += r["fill_us"][:first]
        self.times["fill_us"] += r["fill_us"][first:]
        for k in ("compile_ms", "take_us"): self.times[k] += r[k]
        wrong = [t["valid"] for t, yes in zip(tests, r["accepted"]) if t["valid"] != yes]
        self.n["refuses"] += any(wrong)
        self.n["accepts"] += not all(wrong)
        self.n["instances"] += wrong.count(False)
        self.n["passed"] += not wrong
        return f"{wrong.count(True)} valid refused, {wrong.count(False)} invalid accepted" if wrong else None

    def row(self, name):
        n, of = self.n, max(1, self.n["files"])
        if a.schema: cells = [f"{100 * n['passed'] / of:.0f} %", f"{sum(self.times['first_us']):.0f}"]
        else: cells = [f"{n['passed']} ({100 * n['passed'] / of:.1f} %)", n["error"], n["refuses"], n["accepts"], n["instances"], n["crash"], n["limit"]]
        return [name, *cells, *points(self.times["compile_ms"]), *points(self.times["fill_us"]), *points(self.times["take_us"])[:1]]


def points(x):
    x = sorted(x)
    return [f"{v:.3g}" if v < 100 else f"{v:.0f}" for v in (sum(x) / len(x), x[len(x) // 2], x[int(0.99 * (len(x) - 1))], x[-1])] if x else ["-"] * 4


HEAD = ["engine", "passed"] + (["first document's masks µs"] if a.schema else ["not compiled", "refuse a valid", "accept an invalid", "invalid accepted", "crashed", f"over {a.limit} s"]) + \
       [f"{w} {p}" for w in ("compile ms", "mask µs") for p in ("mean", "p50", "p99", "max")] + ["take µs mean"]
SENTENCE = ("A primeira frase expressa alegria pela conquista, a segunda lamenta a perda de um amigo e a terceira apenas descreve "
            "o horário do ônibus, sem carga emocional; por isso a última é neutra.")


def instance(s, rng):
    if "enum" in s: return rng.choice(s["enum"])
    if s.get("type") == "object": return {k: instance(v, rng) for k, v in s["properties"].items()}
    if s.get("type") == "string": return SENTENCE
    sys.exit(f"no instance for {s}")


def made_up(path):
    s = json.load(open(path))
    if a.string: s["properties"], s["required"] = {k: {"type": "string"} for k in a.string} | s["properties"], a.string + s["required"]
    tests = [{"valid": True, "data": instance(s, random.Random(i))} for i in range(30)]
    return {"schema": s, "tests": tests}


def items():
    if a.schema:
        yield a.schema, made_up(a.schema)
        return
    names = a.files or [os.path.join(os.environ["SUITES"], "jsonschemabench/maskbench/data")]
    files = sorted(f for n in names for f in ([os.path.join(n, x) for x in os.listdir(n) if x.endswith(".json")] if os.path.isdir(n) else [n]))
    for f in files[::a.every]: yield f, json.load(open(f))


def table(rows):
    width = [max(len(str(r[i])) for r in rows) for i in range(len(rows[0]))]
    for k, r in enumerate(rows):
        print("| " + " | ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(r, width))) + " |")
        if k == 0: print("|" + "|".join("-" * (w + 2) for w in width) + "|")


def worst(r): return dict(compile_ms=max(r.get("compile_ms") or [0]), mask_us=max(r.get("fill_us") or [0]))


with tempfile.TemporaryDirectory() as dir:
    vocabulary = dir + "/vocabulary.json"
    v = json.loads(subprocess.check_output([a.bench, "--vocab", a.tokenizer]))
    if "tokenizer" not in v: v["tokenizer"] = json.load(open(a.tokenizer))
    json.dump(v, open(vocabulary, "w"))
    peer = lambda name: Worker(sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "masks_peers.py"), name, vocabulary)
    workers = {k: {"coador": lambda: Worker(a.bench, a.tokenizer), "annotate": lambda: Worker(a.bench, "--annotate", a.tokenizer)}.get(k, lambda: peer(k))() for k in a.engines.split(",")}
    tokens, totals = Worker(a.bench, "--tokens", a.tokenizer), {k: Totals() for k in workers}
    details = open(a.details, "w") if a.details else None
    for path, item in items():
        texts = [json.dumps(t["data"], ensure_ascii=False).encode("utf-8", "replace").decode() for t in item["tests"]]  # MaskBench's way to write them
        q = {"schema": item["schema"], "ids": tokens.ask({"texts": texts})["ids"], "compiles": PASSES if a.schema else 1}
        for k, w in workers.items():
            r = w.ask(q)
            wrong = totals[k].add(item["tests"], r, len(q["ids"][0]) if a.schema else 0)
            if details: print(json.dumps({"file": os.path.basename(path), "engine": k} | worst(r) | ({"wrong": wrong} if wrong else {})), file=details, flush=True)
    table([HEAD] + [t.row(NAMES[k]) for k, t in totals.items()])
