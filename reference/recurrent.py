"""Recurrent layers: outputs, last states, and the gradients of `Σ y ⊙ dy + Σ h ⊙ dh + Σ c ⊙ dc` by every input and parameter.

All inputs are 8 `wave(k)`: x 1, h 2, c 3, dy 4, dh 5, dc 6, and parameter n of `named_parameters` 7 + n.
"""

import torch
from fixture import wave, write as write_fixture
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

BATCH, TIME, INPUTS, HIDDEN = 3, 4, 3, 2
LENGTHS = [2, 4, 3]


def numbers(k, *shape):
    return (8 * wave(k, *shape)).requires_grad_()


def case(cell, layers, bidirectional, packed, projection=0):
    shape = dict(num_layers=layers, bidirectional=bidirectional, batch_first=True)
    build = {
        "lstm": lambda: nn.LSTM(INPUTS, HIDDEN, proj_size=projection, **shape),
        "gru": lambda: nn.GRU(INPUTS, HIDDEN, **shape),
        "tanh": lambda: nn.RNN(INPUTS, HIDDEN, **shape),
        "relu": lambda: nn.RNN(INPUTS, HIDDEN, nonlinearity="relu", **shape),
    }
    model = build[cell]()
    with torch.no_grad():
        for n, (_, p) in enumerate(model.named_parameters()):
            p.copy_(numbers(7 + n, *p.shape))
    directions, outputs = 1 + bidirectional, projection or HIDDEN
    x, h = numbers(1, BATCH, TIME, INPUTS), numbers(2, layers * directions, BATCH, outputs)
    c = numbers(3, layers * directions, BATCH, HIDDEN)
    state = (h, c) if cell == "lstm" else h
    inputs = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False) if packed else x
    y, last = model(inputs, state)
    if packed:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=TIME)
    last_h, last_c = last if cell == "lstm" else (last, None)
    loss = (y * numbers(4, *y.shape)).sum() + (last_h * numbers(5, *last_h.shape)).sum()
    leaves = dict(x=x, h=h, **dict(model.named_parameters()))
    out = dict(y=y, last_h=last_h)
    if last_c is not None:
        loss = loss + (last_c * numbers(6, *last_c.shape)).sum()
        leaves["c"], out["last_c"] = c, last_c
    gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()))))
    name = f"{cell}, {layers} layers, {directions} directions{', packed' * packed}{f', projected to {projection}' if projection else ''}"
    return dict(name=name, kind="recurrent", cell=cell, layers=layers, bidirectional=bidirectional, projection=projection,
                lengths=LENGTHS if packed else [], parameters=[n for n, _ in model.named_parameters()], gradients=gradients, **out)


def write():
    variants = [(layers, bidirectional, packed) for layers in (1, 2) for bidirectional in (False, True) for packed in (False, True)]
    cases = [case(cell, *variant) for cell in ("lstm", "gru", "tanh", "relu") for variant in variants]
    cases += [case("lstm", *variant, projection=1) for variant in variants]
    write_fixture("fornax-layers", "recurrent", cases)
