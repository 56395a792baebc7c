#!/usr/bin/env python3
"""Puts the reasonings beside their rows: junta.py DATASET.csv RACIOCINIOS.csv PROFESSOR.csv ALUNO.csv TEXTOS.csv
A reasoning belongs to the row whose f1 begins with its `inicio` (quotes in front aside). PROFESSOR gets those rows with their
labels and `raciocinio`; ALUNO all others with their labels; TEXTOS the same rows as ALUNO without anything but the sentences."""
import csv
import sys

FIELDS = ["f1", "f2", "f3"]


def read(path):
    return list(csv.DictReader(open(path, encoding="utf-8", newline=""), strict=True))


def write(path, columns, rows):
    with open(path, "w", encoding="utf-8", newline="") as f:
        out = csv.DictWriter(f, columns, extrasaction="ignore", lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def main(dataset, reasonings, professor, aluno, textos):
    rows = read(dataset)
    for n, entry in enumerate(read(reasonings), 1):
        found = [r for r in rows if r["f1"].lstrip('"').startswith(entry["inicio"])]
        if len(found) != 1 or "raciocinio" in found[0]:
            sys.exit(f"junta.py: {reasonings}: record {n}: {len(found)} rows begin with {entry['inicio']}, expected one without a reasoning")
        found[0]["raciocinio"] = entry["raciocinio"]
    rest = [r for r in rows if "raciocinio" not in r]
    columns = [c for c in rows[0] if c != "raciocinio"]
    write(professor, [*columns, "raciocinio"], [r for r in rows if "raciocinio" in r])
    write(aluno, columns, rest)
    write(textos, FIELDS, rest)


main(*sys.argv[1:])
