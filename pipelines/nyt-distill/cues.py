#!/usr/bin/env python3
"""The reasoning that teachers learn: cues.py LEXICON ROWS.csv GOLD.csv TEXTS.csv
Reads the rows of ../nyt/rows.sh. GOLD gets one more column, `why`: a sentence that says for f1, f2 and f3 which of its words, by
VADER's lexicon (word, tab, mean rating from -4 to 4, …), drive it the way it was rated. TEXTS gets the sentences alone: what
whoever must not know the labels is given."""
import csv
import re
import sys

CUES = 2  # words named for a sentence, at most: a row's reasoning is to stay within 40 tokens
FIELDS = ("f1", "f2", "f3")


def lexicon(path):
    """Words of letters and their ratings; the emoticons of the list say nothing about newspapers."""
    ratings = {}
    for line in open(path, encoding="utf-8"):
        word, rating = line.split("\t")[:2]
        if re.fullmatch(r"[a-z]+", word):
            ratings[word] = float(rating)
    return ratings


def strongest(text, ratings, sign):
    """The words of the text with the largest ratings of that sign, in the order in which they stand."""
    words = list(dict.fromkeys(w for w in re.findall(r"[a-z]+", text.lower()) if ratings.get(w, 0) * sign > 0))
    chosen = sorted(words, key=lambda w: -abs(ratings[w]))[:CUES]
    return [w for w in words if w in chosen]


def clause(field, text, label, ratings):
    good, bad = strongest(text, ratings, 1), strongest(text, ratings, -1)
    if label == "positive":
        return f"{field} is lifted by {' and '.join(good) or 'its tone'}"
    if label == "negative":
        return f"{field} is weighed down by {' and '.join(bad) or 'its tone'}"
    if good and bad:
        return f"{field} is balanced between {good[0]} and {bad[0]}"
    return f"{field} is hardly coloured by {(good + bad)[0]}" if good or bad else f"{field} is coloured by nothing"


def main(lexicon_path, rows_path, gold_path, texts_path):
    ratings = lexicon(lexicon_path)
    rows = list(csv.DictReader(open(rows_path, encoding="utf-8", newline="")))
    with open(gold_path, "w", encoding="utf-8", newline="") as gold, open(texts_path, "w", encoding="utf-8", newline="") as texts:
        out = csv.DictWriter(gold, [*rows[0], "why"], lineterminator="\n")
        bare = csv.DictWriter(texts, ["article", *FIELDS], extrasaction="ignore", lineterminator="\n")
        out.writeheader()
        bare.writeheader()
        for row in rows:
            why = ", ".join(clause(f, row[f], row["p" + f[1]], ratings) for f in FIELDS)
            out.writerow({**row, "why": why + "."})
            bare.writerow(row)


main(*sys.argv[1:])
