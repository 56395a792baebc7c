#!/usr/bin/env python3
"""Decoding, reading of prompts, answers and start-up beside llama.cpp and transformers: each pair in turn, in one run.
One CSV line a row on stdout, in the format of tests/bench/results:
date,machine,threads,load,work,unit,ours_median,ours_best,peer,peer_median,peer_best,ratio_of_medians,floor,share_of_floor
usage: decode.py BUILD MODEL.gguf [ROW ...]   rows: decode types prefill first answers (default: all)
RUNS (5) measurements a side, ANSWER_RUNS (RUNS) for `answers`; BATCHES (1 8 32), TOKENS (64): of `decode`; THREADS (2); GB_S (31): for the floor
PEER_SECONDS (900): what one measurement may take, its start included. A peer that takes longer or fails is given up, and its row
says so in the peer's place, without figures; where we do, all ends.
BENCH_CLOCK=cpu: processor seconds, for machines that have other work: of one thread, in `answers` of all.
ROWS: a file of prompts (JSONL) for `answers`, of which the first ANSWERS (200) count; ADAPTER, SCHEMA: what the pipeline trained and
asks for. Peers (decode_peers.py): llama-cpp-python, torch, transformers, peft, gguf, tokenizers, numpy."""
import atexit, datetime, os, select, statistics, subprocess, sys, tempfile, time, json

if len(sys.argv) < 3:
    sys.exit(__doc__)
BUILD, MODEL, WANTED = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:] or ["decode", "types", "prefill", "first", "answers"]
knob = lambda name, default: int(os.environ.get(name, default))
CPU = "BENCH_CLOCK" in os.environ
RUNS, THREADS, TOKENS, LIMIT = knob("RUNS", 5), 1 if CPU else knob("THREADS", 2), knob("TOKENS", 64), knob("PEER_SECONDS", 900)
PEERS = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "decode_peers.py")]
GENERATE = os.path.join(BUILD, "libexec/coador/generate")
MACHINE = next(l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))


class GivenUp(Exception):
    pass


def row(work, unit, ours, peer, theirs, higher=True, floor=None):
    """ours, theirs: figures of each run; theirs may be the reason why there are none"""
    a, best, load = statistics.median(ours), max if higher else min, open("/proc/loadavg").read().split()[0]
    line = f'{datetime.date.today()},"{MACHINE}",{THREADS},{load},"{work}",{unit},{a:.4g},{best(ours):.4g},'
    if isinstance(theirs, str):
        line += f'"{peer}: {theirs}",-,-,-,'
    else:
        b = statistics.median(theirs)
        line += f'"{peer}",{b:.4g},{best(theirs):.4g},{(a / b if higher else b / a):.3f},'
    print(line + (f"{floor:.0f},{a / floor:.2f}" if floor else "-,-"), flush=True)


class Side:
    """A process that answers commands with seconds; being late or ending is GivenUp."""
    def __init__(self, argv):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self.p.kill)

    def __call__(self, command):
        try:
            self.p.stdin.write(command + "\n")
            self.p.stdin.flush()
        except BrokenPipeError:
            raise GivenUp(f"ended with {self.p.wait()}") from None
        if not select.select([self.p.stdout], [], [], LIMIT)[0]:
            self.p.kill()
            raise GivenUp(f"no answer within {LIMIT} s")
        line = self.p.stdout.readline()
        if not line:
            raise GivenUp(f"ended with {self.p.wait()}")
        return float(line)

    def close(self):
        try:
            self.p.stdin.close()
            self.p.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.p.kill()
            self.p.wait()


def ours(model, compute):
    return Side([os.path.join(BUILD, "tests/bench/model"), model, compute, str(THREADS)])


def in_turn(sides, runs, figure):
    """Of the last side, the peer: figures or why there are none. Of the others, figures: where they fail, all does.
    sides: functions that give seconds; figure: what counts, of seconds. One round more warms up, but for a single one."""
    got, why = [[] for _ in sides], None
    for i in range(runs + (runs > 1)):
        for s, g in zip(sides, got):
            if why and s is sides[-1]:
                continue
            try:
                x = figure(s())
            except GivenUp as e:
                if s is not sides[-1]:
                    sys.exit(f"decode.py: ours: {e}")
                why = str(e)
                continue
            if i or runs == 1:
                g.append(x)
    return got[:-1] + [why or got[-1]]


def decode(model, name, batches):
    sides = [ours(model, "int8"), ours(model, "f32"), Side(PEERS + ["llama", model, str(THREADS), str(max(batches)), str(128 * max(batches))])]
    for b in batches:
        int8, f32, peer = in_turn([lambda s=s: s(f"decode {b} {TOKENS}") for s in sides], RUNS, lambda t: b * TOKENS / t)
        floor = b * float(os.environ.get("GB_S", 31)) * 1e9 / os.path.getsize(model)
        row(f"decode {name}, batch {b}, int8", "tokens/s", int8, "llama.cpp, flash attention", peer, floor=floor)
        row(f"decode {name}, batch {b}, f32", "tokens/s", f32, "llama.cpp, flash attention", peer, floor=floor)
    for s in sides:
        s.close()


def types(work):
    for name in ("Q4_0", "Q8_0"):
        path = os.path.join(work, name + ".gguf")
        subprocess.run(PEERS + ["requantise", MODEL, name, path], check=True, stderr=subprocess.DEVNULL)
        decode(path, name, [1])


def dequantised(work):
    """Once for all rows that load it"""
    directory = os.path.join(work, "fp32")
    if not os.path.isdir(directory):
        subprocess.run(PEERS + ["dequantise", MODEL, directory], check=True)
    return directory


def prefill(work):
    sides = [ours(MODEL, "f32"), ours(MODEL, "int8"), Side(PEERS + ["transformers", dequantised(work), str(THREADS)])]
    f32, int8, peer = in_turn([lambda s=s: s("prefill 512") for s in sides], RUNS, lambda t: 512 / t)
    row("prefill 512, f32", "tokens/s", f32, "transformers fp32", peer)
    row("prefill 512, int8", "tokens/s", int8, "transformers fp32", peer)
    for s in sides:
        s.close()


def seconds(argv, out=subprocess.DEVNULL):
    """Of a whole command: the clock's, or with BENCH_CLOCK its processors'"""
    start, before = time.perf_counter(), os.times()
    try:
        rc = subprocess.run(argv, stdout=out, timeout=LIMIT).returncode
    except subprocess.TimeoutExpired:
        raise GivenUp(f"not done within {LIMIT} s") from None
    if rc:
        raise GivenUp(f"ended with {rc}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system if CPU else time.perf_counter() - start


def answering(compute, *more):
    return [GENERATE, "--device", "cpu", "--threads", str(THREADS), "--compute", compute, "--model", MODEL, *more]


def first(work):
    """Ours from the start of the process to its end; llama.cpp's without the start of Python and its imports"""
    prompt = os.path.join(work, "prompt")
    open(prompt, "w").write(json.dumps({"prompt": " ".join(["word"] * 32)}) + "\n")

    def theirs():
        with tempfile.TemporaryFile("w+") as f:
            seconds(PEERS + ["first", MODEL, str(THREADS)], f)
            f.seek(0)
            return float(f.read())
    sides = [lambda c=c: seconds(answering(c, "--batch", "1", "-n", "1", prompt)) for c in ("int8", "f32")]
    int8, f32, peer = in_turn(sides + [theirs], RUNS, lambda t: t * 1000)
    row("time to first token, int8", "ms", int8, "llama.cpp", peer, False)
    row("time to first token, f32", "ms", f32, "llama.cpp", peer, False)


def answers(work):
    if "ROWS" not in os.environ:
        sys.exit("answers: ROWS=FILE is missing (test.jsonl of pipelines/nyt)")
    rows, n, adapter, schema = os.path.join(work, "rows"), knob("ANSWERS", 200), os.environ.get("ADAPTER"), os.environ.get("SCHEMA")
    open(rows, "w").writelines(open(os.environ["ROWS"]).readlines()[:n])
    extra = ["--batch", "8", "-n", "60"] + (["--adapter", adapter] if adapter else []) + [rows]
    kinds = [("int8", []), ("f32", [])] + ([("int8", ["--schema", schema]), ("f32", ["--schema", schema])] if schema else [])
    sides = [lambda c=c, more=more: seconds(answering(c, *more, *extra)) for c, more in kinds]
    peer = PEERS + ["answers", dequantised(work), str(THREADS), rows, "60"] + ([adapter] if adapter else [])
    *got, theirs = in_turn(sides + [lambda: seconds(peer)], knob("ANSWER_RUNS", RUNS), lambda t: t)
    for (compute, more), ours_s in zip(kinds, got):
        row(f"{n} answers of pipelines/nyt, start included, {compute}{', with the schema' if more else ''}", "s", ours_s, "transformers generate, batch 8", theirs, False)


if __name__ == "__main__":
    unknown = set(WANTED) - {"decode", "types", "prefill", "first", "answers"}
    if unknown:
        sys.exit(f"decode.py: no row {' '.join(unknown)}")
    with tempfile.TemporaryDirectory() as work:
        if "decode" in WANTED:
            decode(MODEL, "Q4_1", [int(b) for b in os.environ.get("BATCHES", "1 8 32").split()])
        for name, f in (("types", types), ("prefill", prefill), ("first", first), ("answers", answers)):
            if name in WANTED:
                f(work)
