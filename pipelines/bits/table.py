#!/usr/bin/env python3
"""bits.md and bits.svg of pipelines/bits: table.py scores.json NAME...
For each NAME: NAME-error.jsonl (coador quantize --report), NAME-adapter/metrics.jsonl (training), its scores in scores.json."""
import json
import statistics
import sys
from html import escape

TITLES = {"f32": "32 bits (dequantised Q4_1)", "int8": "8 bits (int8)", "nf4": "4 bits (NF4, double-quantised)",
          "ternary": "1.58 bits (ternary)"}
scores = json.load(open(sys.argv[1]))["systems"]


def lines(path):
    return [json.loads(line) for line in open(path)]


def number(x, form):
    return "–" if x is None else format(x, form)


def row(name):
    total = next(r for r in lines(f"{name}-error.jsonl") if r.get("total"))
    speed = statistics.median(r["tok_s"] for r in lines(f"{name}-adapter/metrics.jsonl") if "tok_s" in r)
    system = scores[name]
    group = next(iter(system["groups"].values()))
    return {"name": name, "mib": total["bytes"] / 2**20, "bits": total["bits"], "snr": total["snr_db"],
            "perplexity": system["perplexity"], "valid": system["valid_rate"]["value"], "f1": group["macro_f1"], "speed": speed}


rows = [row(n) for n in sys.argv[2:]]
with open("bits.md", "w") as f:
    f.write("| base | linears, MiB | bits a weight | SNR, dB | perplexity of the true answers | valid | macro-F1 [95 %] | training, tokens/s |\n")
    f.write("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
    for r in rows:
        f1 = r["f1"]
        f.write(f"| {TITLES.get(r['name'], r['name'])} | {r['mib']:.0f} | {r['bits']:.2f} | {number(r['snr'], '.1f')} | {r['perplexity']:.3f} "
                f"| {100 * r['valid']:.0f} % | {f1['value']:.3f} [{f1['low']:.3f}, {f1['high']:.3f}] | {r['speed']:.0f} |\n")

W, H, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 70, 30, 44, 54
top = max(r["mib"] for r in rows) * 1.15
x = lambda v: LEFT + v / top * (W - LEFT - RIGHT)
y = lambda v: H - BOTTOM - v * (H - TOP - BOTTOM)
out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" width="{W}" height="{H}" font-family="sans-serif" font-size="13" fill="#222">',
       "<title>Score against bytes</title>", f'<rect width="{W}" height="{H}" fill="#fff"/>',
       f'<text x="{W / 2}" y="24" text-anchor="middle" font-size="15" font-weight="bold">Macro-F1 after LoRA, against the bytes of the frozen linears</text>']
for k in range(6):
    v = k / 5
    out.append(f'<path d="M{LEFT} {y(v):.1f}H{W - RIGHT}" stroke="#ddd"/><text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.1f}</text>')
step = next(s for s in (10, 20, 50, 100, 200, 500, 1000, 5000) if top / s <= 8)
for k in range(int(top / step) + 1):
    out.append(f'<text x="{x(k * step):.1f}" y="{H - BOTTOM + 18}" text-anchor="middle">{k * step}</text>')
out.append(f'<path d="M{LEFT} {TOP}V{H - BOTTOM}H{W - RIGHT}" fill="none" stroke="#444"/>')
out.append(f'<text x="{(LEFT + W - RIGHT) / 2}" y="{H - 14}" text-anchor="middle">MiB of the linears</text>')
for r in rows:
    f1, cx = r["f1"], x(r["mib"])
    out.append(f'<path d="M{cx:.1f} {y(f1["low"]):.1f}V{y(f1["high"]):.1f}" stroke="#1f5fa8" stroke-width="2"/>'
               f'<circle cx="{cx:.1f}" cy="{y(f1["value"]):.1f}" r="5" fill="#1f5fa8"/>'
               f'<text x="{cx + 9:.1f}" y="{y(f1["value"]) + 4:.1f}">{escape(r["name"])}</text>')
out.append("</svg>")
open("bits.svg", "w").write("\n".join(out) + "\n")
