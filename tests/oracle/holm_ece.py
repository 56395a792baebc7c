#!/usr/bin/env python3
"""Golden corrections and calibration errors: holm_ece.py holm >tests/data/eval/holm.txt; holm_ece.py ece >tests/data/eval/ece.txt
holm: each line is n, n p-values, and their Holm corrections by statsmodels. ece: a line is n and n pairs confidence:right, then the
expected calibration error over ten equal bins, from scikit-learn's calibration_curve and the bins' counts.
Needs statsmodels, scikit-learn and numpy (made with the versions in the first line)."""
import random
import sys
import numpy
import sklearn
import statsmodels
from sklearn.calibration import calibration_curve
from statsmodels.stats.multitest import multipletests


def holm():
    print(f"# statsmodels {statsmodels.__version__}")
    r = random.Random(1)
    for s in range(60):
        n = 1 + s % 30
        p = [r.choice([1e-4, 0.01, 0.5, 1.0]) if r.random() < 0.3 else r.random() ** 3 for _ in range(n)]  # with ties
        adjusted = multipletests(p, method="holm")[1]
        print(n, *map(repr, p), *(repr(float(x)) for x in adjusted))


def ece():
    print(f"# scikit-learn {sklearn.__version__}, numpy {numpy.__version__}")
    r = random.Random(2)
    for s in range(60):
        n = 2 + 3 * (s % 20)
        votes = r.choice([0, 3, 5])  # 0: any confidence; else shares of so many votes
        conf = [r.randint(0, votes) / votes if votes else r.random() for _ in range(n)]
        right = [int(r.random() < c ** 1.5) for c in conf]
        right[:2] = [0, 1]           # calibration_curve wants both classes
        share, mean = calibration_curve(right, conf, n_bins=10, strategy="uniform")
        count = numpy.bincount(numpy.searchsorted(numpy.linspace(0, 1, 11)[1:-1], conf), minlength=10)
        error = float(sum(count[count > 0] / n * abs(share - mean)))
        print(n, *(f"{c!r}:{y}" for c, y in zip(conf, right)), repr(error))


{"holm": holm, "ece": ece}[sys.argv[1]]()
