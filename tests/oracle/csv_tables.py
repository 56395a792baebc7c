#!/usr/bin/env python3
"""Tables as Python's csv module writes them, with their cells: tests/data/csv/python.jsonl.
Made with Python 3.11. Run: python3 tests/oracle/csv_tables.py >tests/data/csv/python.jsonl"""
import csv
import io
import json
import random

PIECES = ["", "a", "Olá", "é", "😀", "中文", " ", "  ", ",", ";", "\t", "\n", "\r\n", '"', '""', "'", "1.5", "-", "{x}", "\\", "\u00a0", "\u2028"]


def cell(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.choice([0, 1, 1, 2, 3, 6])))


def table(rng, i):
    columns = rng.randint(1, 6)
    header = [f"c{k}{cell(rng)}" for k in range(columns)]
    rows = [header] + [[cell(rng) for _ in range(columns)] for _ in range(rng.randint(0, 8))]
    delimiter = rng.choice(",;\t|")
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=rng.choice(["\n", "\r\n"]),
               quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])).writerows(rows)
    text = out.getvalue()
    assert list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)) == rows
    return {"delimiter": delimiter, "csv": ("\ufeff" if i % 5 == 0 else "") + text, "rows": rows}


rng = random.Random(4180)
for i in range(120):
    print(json.dumps(table(rng, i), ensure_ascii=False))
