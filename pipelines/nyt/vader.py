#!/usr/bin/env python3
"""What VADER's own program answers on the same rows: vader.py PACKAGE_DIR RECORDS >ANSWERS
Reads records with row.f1, row.f2, row.f3; writes them with `parsed`. Thresholds are the ones VADER's authors recommend:
compound >= 0.05 positive, <= -0.05 negative, else neutral."""
import json
import os
import sys

package = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.dirname(package))
module = __import__(os.path.basename(package) + ".vaderSentiment", fromlist=["SentimentIntensityAnalyzer"])
analyzer = module.SentimentIntensityAnalyzer()


def polarity(text):
    compound = analyzer.polarity_scores(text)["compound"]
    return "positive" if compound >= 0.05 else "negative" if compound <= -0.05 else "neutral"


for line in open(sys.argv[2], encoding="utf-8"):
    record = json.loads(line)
    record["parsed"] = {f: polarity(record["row"][f]) for f in ("f1", "f2", "f3")}
    print(json.dumps(record, ensure_ascii=False))
