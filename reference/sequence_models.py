"""Sequence models: logits, loss and gradients with weights by formula, as in `architectures.py`. Sequences have different lengths."""

import math

import torch
import torch.nn.functional as F
from architectures import digest
from fixture import tensor, wave, write as write_fixture
from torch import nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

BATCH, TIME, INPUTS, HIDDEN, CLASSES = 3, 6, 3, 4, 5
LENGTHS = [6, 3, 5]
SPECTRAL = [((3, 3), (2, 1)), ((1, 3), (1, 2))]
GATES = {"lstm": 4, "gru": 3}


def recurrent(p, cell, x, prefix, layers, bidirectional, lengths=None, state=None):
    """PyTorch's layers with Fornax's names of their weights."""
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
    module = kind(x.shape[2], HIDDEN, layers, batch_first=True, bidirectional=bidirectional)
    directions = 1 + bidirectional
    weights = {}
    for name, _ in module.named_parameters():
        part, rest = name.rsplit("_l", 1)
        layer = int(rest.split("_")[0])
        weights[name] = p[f"{prefix}.directions.{layer * directions + rest.endswith('reverse')}.{part}"]
    inputs = x if lengths is None else pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, last = functional_call(module, weights, (inputs, state))
    if lengths is not None:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
    return y, last


def recurrent_shapes(prefix, cell, inputs, layers, bidirectional):
    shapes, directions, rows = {}, 1 + bidirectional, GATES[cell] * HIDDEN
    for i in range(layers * directions):
        width = inputs if i < directions else HIDDEN * directions
        shapes |= {f"{prefix}.directions.{i}.{name}": shape for name, shape in
                   dict(weight_ih=[rows, width], weight_hh=[rows, HIDDEN], bias_ih=[rows], bias_hh=[rows]).items()}
    return shapes


def encode(p, x, cell, layers, bidirectional, stride):
    lengths = LENGTHS
    x = x * (torch.arange(TIME)[None, :, None] < torch.tensor(lengths)[:, None, None])
    if "encoder.spectral.0.weight" in p:
        rows = []
        for i, n in enumerate(lengths):
            y = x[i:i + 1, :n].transpose(1, 2)[None]
            for k, (size, step) in enumerate(SPECTRAL):
                y = F.relu(F.conv2d(y, p[f"encoder.spectral.{k}.weight"], p[f"encoder.spectral.{k}.bias"], step, [size[0] // 2, size[1] // 2]))
            rows.append(y[0].flatten(0, 1).T)
        lengths = [len(row) for row in rows]
        x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    if "encoder.front.0.weight" in p:
        # Sequence by sequence, so that no padding is near.
        w, b = p["encoder.front.0.weight"], p["encoder.front.0.bias"]
        rows = [F.relu(F.conv1d(x[i:i + 1, :n].transpose(1, 2), w, b, stride, w.shape[2] // 2)).transpose(1, 2)[0] for i, n in enumerate(lengths)]
        lengths = [len(row) for row in rows]
        x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    y, last = recurrent(p, cell, x, "encoder.recurrent", layers, bidirectional, lengths)
    return y, (last[0] if cell == "lstm" else last), lengths


def classifier(p, x, cell, layers, bidirectional, stride, pooling):
    y, h, lengths = encode(p, x, cell, layers, bidirectional, stride)
    rows = []
    for i, n in enumerate(lengths):
        if pooling == "last":
            rows.append(torch.cat([h[k, i] for k in range(len(h) - 1 - bidirectional, len(h))]))
        elif pooling == "mean":
            rows.append(y[i, :n].mean(0))
        else:
            e = torch.tanh(y[i, :n] @ p["attention.project.weight"] + p["attention.project.bias"]) @ p["attention.score.weight"]
            rows.append((torch.softmax(e, 0) * y[i, :n]).sum(0))
    return torch.stack(rows) @ p["head.weight"] + p["head.bias"]


def labeler(p, x, cell, layers, bidirectional, stride):
    """The logits of all steps that are no padding, one sequence behind the other."""
    y, _, lengths = encode(p, x, cell, layers, bidirectional, stride)
    return torch.cat([y[i, :n] for i, n in enumerate(lengths)]) @ p["head.weight"] + p["head.bias"]


def char_rnn(p, tokens):
    """In two pieces with the state carried."""
    state, logits = [None, None], []
    for piece in tokens.split([4, 3], 1):
        x = p["embedding.weight"][piece]
        for i in range(2):
            x, state[i] = recurrent(p, "lstm", x, f"layers.{i}", 1, False, state=state[i])
        logits.append(x @ p["head.weight"] + p["head.bias"] if "head.weight" in p else x @ p["embedding.weight"].T)
    return torch.cat(logits, 1).flatten(0, 1)


def head(width, classes):
    return {"head.weight": [width, classes], "head.bias": [classes]}


def front(channels, kernel):
    return {"encoder.front.0.weight": [channels, INPUTS, kernel], "encoder.front.0.bias": [channels]}


def spectral():
    return {"encoder.spectral.0.weight": [2, 1, 3, 3], "encoder.spectral.0.bias": [2], "encoder.spectral.1.weight": [3, 2, 1, 3],
            "encoder.spectral.1.bias": [3]}


def attention(width):
    return {"attention.project.weight": [width, width], "attention.project.bias": [width], "attention.score.weight": [width, 1]}


def body(cell, inputs, layers, bidirectional):
    return recurrent_shapes("encoder.recurrent", cell, inputs, layers, bidirectional)


MODELS = {
    "classifier, last": (lambda p, x: classifier(p, x, "lstm", 2, True, 1, "last"), {**body("lstm", INPUTS, 2, True), **head(8, CLASSES)}),
    "classifier, mean": (lambda p, x: classifier(p, x, "gru", 1, False, 2, "mean"), {**front(5, 3), **body("gru", 5, 1, False), **head(4, CLASSES)}),
    "classifier, attention": (lambda p, x: classifier(p, x, "lstm", 1, True, 1, "attention"),
                              {**body("lstm", INPUTS, 1, True), **attention(8), **head(8, CLASSES)}),
    "labeler": (lambda p, x: labeler(p, x, "lstm", 1, True, 1), {**front(5, 5), **body("lstm", 5, 1, True), **head(8, CLASSES)}),
    "char rnn": (char_rnn, {"embedding.weight": [11, 4], **recurrent_shapes("layers.0", "lstm", 4, 1, False),
                            **recurrent_shapes("layers.1", "lstm", 4, 1, False), **head(4, 11)}),
    "char rnn, tied": (char_rnn, {"embedding.weight": [11, 4], **recurrent_shapes("layers.0", "lstm", 4, 1, False),
                                  **recurrent_shapes("layers.1", "lstm", 4, 1, False)}),
    "classifier, spectral": (lambda p, x: classifier(p, x, "lstm", 1, True, 1, "mean"),
                             {**spectral(), **body("lstm", 6, 1, True), **head(8, CLASSES)}),
}


def case(name, forward, shapes):
    # Five times the usual wave: recurrent layers should bend.
    parameters = {key: (5 * wave(k, *shape)).requires_grad_() for k, (key, shape) in enumerate(shapes.items())}
    if name.startswith("char"):
        inputs = dict(tokens=[(7 * i + i * i) % 11 for i in range(14)])
        logits = forward(parameters, torch.tensor(inputs["tokens"]).view(2, 7))
    else:
        x = tensor(BATCH, TIME, INPUTS, scale=2.0)
        inputs, logits = dict(x=x, lengths=LENGTHS), forward(parameters, x)
    classes = [(3 * i + 1) % logits.shape[1] for i in range(len(logits))]
    loss = F.cross_entropy(logits, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=key, shape=shapes[key], **digest(p.grad)) for key, p in parameters.items()]
    return dict(name=name, parameters=sum(math.prod(shape) for shape in shapes.values()), **inputs, classes=classes, logits=logits, loss=loss.item(),
                weights=weights)


def write():
    torch.manual_seed(5)
    write_fixture("fornax-architectures", "sequences", [case(name, *entry) for name, entry in MODELS.items()])
