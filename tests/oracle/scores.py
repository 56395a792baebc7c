#!/usr/bin/env python3
"""Golden scores of 1,000 random label sets by scikit-learn: scores.py >tests/data/eval/scores.txt
The labels come from a small generator that tests/common/test_confusion.c runs too; each line holds accuracy, macro precision,
recall, F1, weighted precision, recall, F1 and Cohen's kappa. Needs scikit-learn (made with the version in the first line)."""
import warnings
import sklearn
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_recall_fscore_support

warnings.simplefilter("ignore")
print(f"# scikit-learn {sklearn.__version__}")
MASK = (1 << 64) - 1


def stream(seed):
    x = seed
    while True:
        x = (x * 6364136223846793005 + 1442695040888963407) & MASK
        yield x >> 33


for s in range(1000):
    r = stream(s)
    K, n = 2 + next(r) % 7, 1 + next(r) % 120
    skill, unparsed = next(r) % 100, next(r) % 3
    true, pred = [], []
    for _ in range(n):
        t = next(r) % K
        t = t if next(r) % 2 else 0                      # class 0 is common, some classes may be missing
        p = t if next(r) % 100 < skill else next(r) % (K + (unparsed == 0))
        true.append(t)
        pred.append(p)
    labels = sorted((set(true) | set(pred)) - {K})       # K: no usable answer
    row = [accuracy_score(true, pred)]
    for average in ("macro", "weighted"):
        row += precision_recall_fscore_support(true, pred, labels=labels, average=average, zero_division=0)[:3]
    kappa = cohen_kappa_score(true, pred)
    row.append(0.0 if kappa != kappa else kappa)
    print(" ".join(repr(float(x)) for x in row))
