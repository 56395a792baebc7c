#!/usr/bin/env python3
"""JSON texts with str() of what json.loads makes of them: tests/data/csv/pyrepr.jsonl.
Made with Python 3.11 (Unicode 14). Run: python3 tests/oracle/pyrepr.py >tests/data/csv/pyrepr.jsonl"""
import json
import random
import struct
import unicodedata

FIXED = [None, True, False, 0, -1, 12345678901234567890123, "", "it's", 'say "hi"', "it's \"both\"", "back\\slash", "a\nb\r\tc",
         "nul\0bell\x07del\x7f", "\x80\x9f\u00a0\u00ad", "\u200b\u200d\u2028\u3000\ufeff\ue000\ufffe", "café 中文 😀 👩\u200d🚀",
         "\U000e0001\U0010ffff\u0378", [], {}, [[]], {"a": {}}, {"it's": ["x", None, {"b": 1.0}]}, {"": ""},
         {"f1": {"polaridade": "Positivo", "emocao": "Felicidade"}, "f2": {"polaridade": "Neutro", "emocao": "Neutro"}},
         0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 123456789012345680.0, 1e-4, 1.5e-4, 1e-5, 1.5e300, 5e-324, 1 / 3, 100.0, 12.5]


def floats(rng):
    while True:
        x = struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0]
        if x == x and abs(x) != float("inf"):
            return x


rng = random.Random(7)
values = FIXED + [floats(rng) for _ in range(60)] + [round(rng.uniform(-1e6, 1e6), rng.randint(0, 8)) for _ in range(40)]
# Only assigned characters: what is unassigned here may be printable in a later Unicode.
assigned = [chr(u) for r in ((0x20, 0x500), (0x2000, 0x2100), (0x1F000, 0x1FB00), (0xA000, 0xD7FF)) for u in range(*r)
            if unicodedata.category(chr(u)) != "Cn"]
values += ["".join(rng.choice(assigned) for _ in range(8)) for _ in range(60)]
for v in values:
    v = [v] if isinstance(v, str) else v
    text = json.dumps(v, ensure_ascii=rng.random() < 0.5)
    print(json.dumps({"json": text, "str": str(json.loads(text))}))
for text, v in [("-0", 0), ("1E2", 100.0), ('"it\'s\\n"', "it's\n")]:
    assert json.loads(text) == v
    print(json.dumps({"json": text, "str": str(json.loads(text))}))
