"""CTC against PyTorch's `ctc_loss`, and a linear-chain CRF written out over all labellings: losses, and gradients of `Σ y ⊙ direction`."""

from itertools import product

import torch
import torch.nn.functional as F
from attention import case
from fixture import leaf, write as write_fixture


def ctc(name, targets, lengths, blank=0, reduction="none", zero_infinity=False, classes=4, time=6):
    p = dict(x=leaf(len(targets), time, classes, scale=2.0))
    log_p = F.log_softmax(p["x"], 2).transpose(0, 1)
    sizes = [len(t) for t in targets]
    padded = torch.zeros(len(targets), max(max(sizes), 1), dtype=torch.long)
    for row, target in zip(padded, targets):
        row[: len(target)] = torch.tensor(target, dtype=torch.long)
    y = F.ctc_loss(log_p, padded, torch.tensor(lengths), torch.tensor(sizes), blank, reduction, zero_infinity)
    y = y.reshape(-1)
    return case("ctc", name, y, p, targets=targets, lengths=lengths, blank=blank, reduction=reduction, zero_infinity=zero_infinity)


def crf(name, k, time, lengths):
    p = dict(x=leaf(len(lengths), time, k, scale=2.0), transitions=leaf(k, k, scale=2.0), start=leaf(k), end=leaf(k))
    labels = [torch.randint(0, k, (n,)).tolist() for n in lengths]

    def score(e, y):
        steps = sum(e[t, j] for t, j in enumerate(y)) + sum(p["transitions"][i, j] for i, j in zip(y, y[1:]))
        return p["start"][y[0]] + steps + p["end"][y[-1]]

    def loss(e, y):
        if not y:
            return e.sum() * 0
        return torch.logsumexp(torch.stack([score(e, other) for other in product(range(k), repeat=len(y))]), 0) - score(e, y)

    y = torch.stack([loss(e, y) for e, y in zip(p["x"], labels)])
    best = [max(product(range(k), repeat=n), key=lambda y: score(e, y).item()) if n else [] for e, n in zip(p["x"], lengths)]
    return case("crf", name, y, p, labels=labels, lengths=lengths, best=best)


def write():
    torch.manual_seed(7)
    some = [[1, 2], [3, 3], [], [2, 1, 2]]
    cases = [
        ctc("different lengths, repeated labels, an empty one", some, [6, 5, 4, 3]),
        ctc("the last class is the blank", [[0, 1, 1], [2]], [6, 6], blank=3),
        ctc("the mean", some, [6, 5, 4, 3], reduction="mean"),
        ctc("the sum", some, [6, 5, 4, 3], reduction="sum"),
        ctc("labellings that do not fit", [[1, 1, 1], [1, 2], [3]], [4, 6, 1], zero_infinity=True),
        ctc("labellings that do not fit, the mean", [[1, 1, 1], [1, 2], [3]], [4, 6, 1], zero_infinity=True, reduction="mean"),
        crf("three labels", 3, 4, [4, 1, 3, 0]),
        crf("two labels", 2, 6, [6, 2]),
    ]
    write_fixture("fornax-layers", "sequence_losses", cases)
