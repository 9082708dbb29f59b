"""Kim's convolutional network over words: logits, loss and gradients with weights by formula, as in `architectures.py`. Sentences have different lengths."""

import math

import torch
import torch.nn.functional as F
from architectures import digest
from fixture import wave, write as write_fixture

VOCABULARY, WIDTH, MAPS, KERNELS, CLASSES = 9, 4, 3, [2, 3, 4], 3
TIME, LENGTHS = 6, [6, 1, 4, 2]
MAX_NORM = 1.0


def forward(p, words):
    """Sentence by sentence, so that no padding is near; a filter sees `kernel - 1` zeros on either side."""
    rows = []
    for sentence, length in zip(words, LENGTHS):
        x = p["embedding.weight"][sentence[:length]]
        if "kept.weight" in p:
            x = torch.cat([p["kept.weight"][sentence[:length]], x], 1)
        pooled = []
        for i, kernel in enumerate(KERNELS):
            y = F.conv1d(x.T[None], p[f"filters.{i}.weight"], p[f"filters.{i}.bias"], padding=kernel - 1)
            pooled.append(F.relu(y)[0].amax(1))
        rows.append(torch.cat(pooled))
    weight = p["head.weight"]
    share = (MAX_NORM / weight.detach().norm(dim=0)).clamp(max=1)
    assert (share < 1).any()
    return torch.stack(rows) @ (weight * share) + p["head.bias"]


def case(name):
    inputs = WIDTH * (2 if name == "multichannel" else 1)
    shapes = {"embedding.weight": [VOCABULARY, WIDTH]}
    if name == "multichannel":
        shapes["kept.weight"] = [VOCABULARY, WIDTH]
    for i, kernel in enumerate(KERNELS):
        shapes |= {f"filters.{i}.weight": [MAPS, inputs, kernel], f"filters.{i}.bias": [MAPS]}
    shapes |= {"head.weight": [MAPS * len(KERNELS), CLASSES], "head.bias": [CLASSES]}
    parameters = {key: (5 * wave(k, *shape)).requires_grad_() for k, (key, shape) in enumerate(shapes.items())}
    words = [(7 * i + i * i) % VOCABULARY for i in range(len(LENGTHS) * TIME)]
    logits = forward(parameters, torch.tensor(words).view(len(LENGTHS), TIME))
    classes = [(3 * i + 1) % CLASSES for i in range(len(logits))]
    loss = F.cross_entropy(logits, torch.tensor(classes))
    learned = [p for key, p in parameters.items() if key != "kept.weight" and not (name == "static" and key == "embedding.weight")]
    gradients = dict(zip(map(id, learned), torch.autograd.grad(loss, learned)))
    weights = [dict(name=key, shape=shapes[key], **(digest(gradients[id(p)]) if id(p) in gradients else {})) for key, p in parameters.items()]
    return dict(name=name, parameters=sum(math.prod(shape) for shape in shapes.values()), tokens=words, lengths=LENGTHS, classes=classes, logits=logits,
                loss=loss.item(), weights=weights)


def write():
    write_fixture("fornax-architectures", "text_cnn", [case(name) for name in ["rand", "static", "multichannel"]])
