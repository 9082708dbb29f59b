"""Layers over sequences: outputs, and gradients of `Σ y ⊙ direction` by every input and parameter. A dense weight is [in, out]."""

import torch
import torch.nn.functional as F
from attention import case
from fixture import leaf, write as write_fixture

LENGTHS = [5, 0, 3]
BATCH, TIME = len(LENGTHS), 5


def rows(x):
    """Each sequence without its padding."""
    return [x[i, :n] for i, n in enumerate(LENGTHS)]


def attention_pool(width, hidden):
    p = dict(x=leaf(BATCH, TIME, width), project_weight=leaf(width, hidden), project_bias=leaf(hidden), score_weight=leaf(hidden, 1, scale=4.0))
    pool = lambda x: (torch.softmax(torch.tanh(x @ p["project_weight"] + p["project_bias"]) @ p["score_weight"], 0) * x).sum(0)
    return case("attention_pool", "attention pooling", torch.stack([pool(x) for x in rows(p["x"])]), p, lengths=LENGTHS)


def additive(queries, q, k, hidden):
    p = dict(queries=leaf(BATCH, queries, q), keys=leaf(BATCH, TIME, k), query_weight=leaf(q, hidden), key_weight=leaf(k, hidden),
             key_bias=leaf(hidden), score_weight=leaf(hidden, 1, scale=4.0))

    def attend(s, h):
        met = torch.tanh((s @ p["query_weight"])[:, None] + (h @ p["key_weight"] + p["key_bias"])[None])
        return torch.softmax((met @ p["score_weight"])[..., 0], 1) @ h

    y = torch.stack([attend(s, h) for s, h in zip(p["queries"], rows(p["keys"]))])
    return case("additive", "Bahdanau's attention", y, p, lengths=LENGTHS)


def luong(queries, q, k, general):
    p = dict(queries=leaf(BATCH, queries, q), keys=leaf(BATCH, TIME, k), combine_weight=leaf(k + q, q))
    if general:
        p["weight"] = leaf(q, k)

    def attend(s, h):
        scores = (s @ p["weight"] if general else s) @ h.T
        return torch.tanh(torch.cat([torch.softmax(scores, 1) @ h, s], 1) @ p["combine_weight"])

    y = torch.stack([attend(s, h) for s, h in zip(p["queries"], rows(p["keys"]))])
    return case("luong", f"Luong's attention, {'general' if general else 'dot'}", y, p, lengths=LENGTHS, general=general)


def temporal_conv(inputs, outputs, kernel, stride):
    p = dict(x=leaf(BATCH, TIME, inputs), weight=leaf(outputs, inputs, kernel), bias=leaf(outputs))
    # Sequence by sequence, so that no padding is near.
    conv = lambda x: F.relu(F.conv1d(x.T[None], p["weight"], p["bias"], stride, kernel // 2))[0].T if len(x) else x.new_zeros(0, outputs)
    y = [conv(x) for x in rows(p["x"])]
    y = torch.stack([F.pad(row, (0, 0, 0, -(-TIME // stride) - len(row))) for row in y])
    return case("temporal_conv", f"kernel {kernel}, stride {stride}", y, p, lengths=LENGTHS, stride=stride)


def write():
    torch.manual_seed(6)
    cases = [attention_pool(4, 3), additive(2, 3, 4, 5), luong(2, 3, 4, True), luong(2, 4, 4, False)]
    cases += [temporal_conv(3, 4, 3, 1), temporal_conv(2, 3, 5, 2), temporal_conv(2, 3, 1, 3)]
    write_fixture("fornax-layers", "sequences", cases)
