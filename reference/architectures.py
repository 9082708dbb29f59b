"""Architectures: logits, loss and gradients with weights by formula, and the number of parameters.

Names, shapes and layout are Fornax's: a dense weight is [in, out]. A gradient is given by its norm, its projection on a fixed wave,
and some of its elements, so that the fixture stays small.
"""

import math

import torch
import torch.nn.functional as F
from fixture import tensor, wave, write as write_fixture

SAMPLES = 12


def convnet(p, x):
    """The tutorial's network, with its two poolings."""
    x = F.relu(F.conv2d(x, p["features.0.conv.weight"], p["features.0.conv.bias"]))
    x = F.relu(F.conv2d(x, p["features.1.conv.weight"], p["features.1.conv.bias"]))
    x = F.max_pool2d(F.max_pool2d(x, 2), 2).flatten(1)
    x = F.relu(x @ p["dense.0.linear.weight"] + p["dense.0.linear.bias"])
    return x @ p["head.weight"] + p["head.bias"]


def lenet5(p, x):
    x = F.max_pool2d(torch.tanh(F.conv2d(x, p["conv1.conv.weight"], p["conv1.conv.bias"], padding=2)), 2)
    x = F.max_pool2d(torch.tanh(F.conv2d(x, p["conv2.conv.weight"], p["conv2.conv.bias"])), 2).flatten(1)
    x = torch.tanh(x @ p["dense1.linear.weight"] + p["dense1.linear.bias"])
    x = torch.tanh(x @ p["dense2.linear.weight"] + p["dense2.linear.bias"])
    return x @ p["head.weight"] + p["head.bias"]


def mlp(p, x):
    x = F.relu(x.flatten(1) @ p["hidden.0.linear.weight"] + p["hidden.0.linear.bias"])
    return x @ p["head.weight"] + p["head.bias"]


ARCHITECTURES = {
    "convnet": (convnet, {
        "features.0.conv.weight": [32, 1, 3, 3], "features.0.conv.bias": [32], "features.1.conv.weight": [64, 32, 3, 3], "features.1.conv.bias": [64],
        "dense.0.linear.weight": [64 * 6 * 6, 128], "dense.0.linear.bias": [128], "head.weight": [128, 10], "head.bias": [10],
    }),
    "lenet5": (lenet5, {
        "conv1.conv.weight": [6, 1, 5, 5], "conv1.conv.bias": [6], "conv2.conv.weight": [16, 6, 5, 5], "conv2.conv.bias": [16],
        "dense1.linear.weight": [400, 120], "dense1.linear.bias": [120], "dense2.linear.weight": [120, 84], "dense2.linear.bias": [84],
        "head.weight": [84, 10], "head.bias": [10],
    }),
    "mlp": (mlp, {"hidden.0.linear.weight": [784, 300], "hidden.0.linear.bias": [300], "head.weight": [300, 10], "head.bias": [10]}),
}


def digest(gradient):
    flat = gradient.flatten()
    n = len(flat)
    projection = (flat * torch.cos(0.61 * torch.arange(n))).sum()
    indices = sorted({i * n // SAMPLES for i in range(SAMPLES)})
    return dict(norm=flat.norm().item(), largest=flat.abs().max().item(), projection=projection.item(), indices=indices, samples=flat[indices])


def case(name, forward, shapes):
    parameters = {key: wave(k, *shape).requires_grad_() for k, (key, shape) in enumerate(shapes.items())}
    images = tensor(2, 1, 28, 28).abs()
    classes = [3, 8]
    logits = forward(parameters, images)
    loss = F.cross_entropy(logits, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=key, shape=shapes[key], **digest(p.grad)) for key, p in parameters.items()]
    return dict(name=name, parameters=sum(math.prod(shape) for shape in shapes.values()), images=images, classes=classes, logits=logits,
                loss=loss.item(), weights=weights)


def write():
    write_fixture("fornax-architectures", "architectures", [case(name, *entry) for name, entry in ARCHITECTURES.items()])
