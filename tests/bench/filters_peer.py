#!/usr/bin/env python3
"""The filters' work in Python: csv and json, json and jsonschema, scikit-learn. And the data for both sides.
filters_peer.py make DIR MB       news.csv, answers.jsonl (each about MB MB), prompt.txt, answer.txt, schema.json
filters_peer.py rows DIR N        the same by the number of records
filters_peer.py csv DIR           news.csv to records, as csv2prompt writes them
filters_peer.py schema DIR        answers.jsonl: `output` read and checked, `parsed` added
filters_peer.py eval DIR          parsed.jsonl against its truth: reports, confusion matrices, kappa"""
import csv
import hashlib
import json
import os
import random
import sys

POLARITY = ["Positivo", "Negativo", "Neutro"]
EMOTION = ["Felicidade", "Tristeza", "Raiva", "Nojo", "Medo", "Surpresa", "Desprezo", "Neutro"]
WORDS = """a o de que em um para com uma os no se na por mais as dos como mas foi ao das tem seu sua ou ser quando muito
nos já está também só pelo pela até isso ela entre era depois sem mesmo aos ter seus quem nas meu esse eles governo prefeito
cidade anunciou ontem obras chuva mortos feridos vitória campeão torcida "a melhor notícia do ano", acordo inflação preço""".split()
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["f1", "f2", "f3"], "properties": {
    f: {"type": "object", "additionalProperties": False, "required": ["polaridade", "emocao"],
        "properties": {"polaridade": {"enum": POLARITY}, "emocao": {"enum": EMOTION}}} for f in ("f1", "f2", "f3")}}
PROMPT = """Classifique a polaridade e a emoção de cada frase.
Frase 1: {f1}
Frase 2: {f2}
Frase 3: {f3}
Resultado:"""
FIELDS = ["f1", "f2", "f3"] + [f"sentence{i}_{k}" for i in (1, 2, 3) for k in ("polarity", "sentiment")]
ANSWER = "{{" + ",".join(f'"f{i}":{{{{"polaridade":{{sentence{i}_polarity|json}},"emocao":{{sentence{i}_sentiment|json}}}}}}' for i in (1, 2, 3)) + "}}"


def answer(row):
    return {f"f{i}": {"polaridade": row[f"sentence{i}_polarity"], "emocao": row[f"sentence{i}_sentiment"]} for i in (1, 2, 3)}


def random_row(rng):
    row = {f"f{i}": " ".join(rng.choices(WORDS, k=rng.randint(8, 22))) + "." for i in (1, 2, 3)}
    for i in (1, 2, 3):
        row[f"sentence{i}_polarity"], row[f"sentence{i}_sentiment"] = rng.choice(POLARITY), rng.choice(EMOTION)
    return {k: row[k] for k in FIELDS}


def make(folder, most_bytes, most_rows):
    rng = random.Random(1)
    os.makedirs(folder, exist_ok=True)
    open(f"{folder}/prompt.txt", "w").write(PROMPT)
    open(f"{folder}/answer.txt", "w").write(ANSWER)
    json.dump(SCHEMA, open(f"{folder}/schema.json", "w"))
    pool = [random_row(rng) for _ in range(2000)]  # rows are mixed from these: the texts differ all the same
    with open(f"{folder}/news.csv", "w", newline="") as f:
        out, n = csv.DictWriter(f, FIELDS), 0
        out.writeheader()
        while f.tell() < most_bytes and n < most_rows:
            a, b, c = rng.sample(pool, 3)
            out.writerow(a | {"f2": b["f2"], "f3": c["f3"]})
            n += 1
    with open(f"{folder}/answers.jsonl", "w") as f:
        n = 0
        while f.tell() < most_bytes and n < most_rows:
            a, b = rng.sample(pool, 2)
            said = answer(a if rng.random() < 0.7 else b)
            text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
            record = {"id": f"row-{n}", "prompt": PROMPT.format(**a), "truth": answer(a), "output": text, "finish_reason": "stop"}
            f.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
            n += 1


def content_id(row):
    return hashlib.sha256("".join([f"{len(cell.encode())}:{cell}" for cell in row.values()]).encode()).hexdigest()[:16]


def run_csv(folder):
    """What csv2prompt writes, byte for byte, and its checks: UTF-8, cells as many as the header has, labels all or none."""
    prompt = open(f"{folder}/prompt.txt").read()
    labels = FIELDS[3:]
    seen = {}
    with open(f"{folder}/news.csv", newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f, strict=True):
            if None in row or None in row.values() or not all([row[k] for k in labels]):
                sys.exit("a row of the wrong length, or without a label")
            key = content_id(row)
            seen[key] = seen.get(key, 0) + 1
            said = answer(row)
            record = {"id": key if seen[key] == 1 else f"{key}-{seen[key]}", "prompt": prompt.format(**row),
                      "completion": json.dumps(said, ensure_ascii=False, separators=(",", ":")), "truth": said, "row": row}
            sys.stdout.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def run_schema(folder):
    import jsonschema
    check = jsonschema.Draft202012Validator(json.load(open(f"{folder}/schema.json")))
    for line in open(f"{folder}/answers.jsonl"):
        record = json.loads(line)
        value = json.loads(record["output"])
        check.validate(value)
        record["parsed"], record["repairs"] = value, []
        sys.stdout.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def run_eval(folder):
    from sklearn.metrics import accuracy_score, classification_report, cohen_kappa_score, confusion_matrix
    truth, said = {"polaridade": [], "emocao": []}, {"polaridade": [], "emocao": []}
    for line in open(f"{folder}/parsed.jsonl"):
        record = json.loads(line)
        for f in ("f1", "f2", "f3"):
            for k in truth:
                truth[k].append(record["truth"][f][k])
                said[k].append(record["parsed"][f][k])
    for k, labels in (("polaridade", POLARITY), ("emocao", EMOTION)):
        print(classification_report(truth[k], said[k], labels=labels, digits=4, zero_division=0))
        print(confusion_matrix(truth[k], said[k], labels=labels), accuracy_score(truth[k], said[k]), cohen_kappa_score(truth[k], said[k]))


what, folder = sys.argv[1], sys.argv[2]
if what == "make":
    make(folder, float(sys.argv[3]) * 1e6, float("inf"))
elif what == "rows":
    make(folder, float("inf"), int(sys.argv[3]))
else:
    {"csv": run_csv, "schema": run_schema, "eval": run_eval}[what](folder)
