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


def resnet(p, x):
    """Batch norm in training; a 7×7 kernel in the stem says that it strides and pools."""
    def conv(name, x, stride):
        w = p[f"{name}.conv.weight"]
        y = F.conv2d(x, w, stride=stride, padding=w.shape[2] // 2)
        return F.batch_norm(y, None, None, p[f"{name}.norm.weight"], p[f"{name}.norm.bias"], training=True)

    large = p["stem.conv.weight"].shape[2] == 7
    x = F.relu(conv("stem", x, 2 if large else 1))
    if large:
        x = F.max_pool2d(x, 3, 2, 1)
    for i in range(2):
        stride = i + 1
        y = conv(f"blocks.{i}.second", F.relu(conv(f"blocks.{i}.first", x, stride)), 1)
        x = F.relu(y + (conv(f"blocks.{i}.shortcut", x, stride) if i else x))
    return x.mean((2, 3)) @ p["head.weight"] + p["head.bias"]


def resnet_shapes(side):
    """Widths 16 and 32, a block each."""
    conv = lambda name, i, o, k: {f"{name}.conv.weight": [o, i, k, k], f"{name}.norm.weight": [o], f"{name}.norm.bias": [o]}
    return {**conv("stem", 1, 16, side), **conv("blocks.0.first", 16, 16, 3), **conv("blocks.0.second", 16, 16, 3),
            **conv("blocks.1.first", 16, 32, 3), **conv("blocks.1.second", 32, 32, 3), **conv("blocks.1.shortcut", 16, 32, 1),
            "head.weight": [32, 10], "head.bias": [10]}


def block(p, x, name, heads, causal):
    """Pre-norm, exact GELU."""
    b, t, d = x.shape
    dense = lambda part, x: x @ p[f"{name}.{part}.weight"] + p[f"{name}.{part}.bias"]
    norm = lambda part, x: F.layer_norm(x, [d], p[f"{name}.{part}.weight"], p[f"{name}.{part}.bias"])
    q, k, v = (z.view(b, t, heads, -1).transpose(1, 2) for z in dense("attention.qkv", norm("norm1", x)).split(d, 2))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    x = x + dense("attention.proj", y.transpose(1, 2).reshape(b, t, d))
    return x + dense("down", F.gelu(dense("up", norm("norm2", x))))


def block_shapes(name, d):
    linear = lambda part, i, o: {f"{name}.{part}.weight": [i, o], f"{name}.{part}.bias": [o]}
    norm = lambda part: {f"{name}.{part}.weight": [d], f"{name}.{part}.bias": [d]}
    return {**norm("norm1"), **linear("attention.qkv", d, 3 * d), **linear("attention.proj", d, d), **norm("norm2"), **linear("up", d, 4 * d),
            **linear("down", 4 * d, d)}


def gpt(p, ids):
    x = p["token.weight"][ids] + p["position.weight"][: ids.shape[1]]
    for i in range(2):
        x = block(p, x, f"blocks.{i}", 3, True)
    x = F.layer_norm(x, [12], p["norm.weight"], p["norm.bias"])
    return (x @ (p["head.weight"] if "head.weight" in p else p["token.weight"].T)).flatten(0, 1)


def vit(p, images):
    x = F.conv2d(images, p["patch.conv.weight"], p["patch.conv.bias"], stride=7).flatten(2).transpose(1, 2)
    if "class_token" in p:
        x = torch.cat([p["class_token"].expand(len(x), 1, 12), x], 1)
    x = x + p["position"]
    for i in range(2):
        x = block(p, x, f"blocks.{i}", 3, False)
    x = F.layer_norm(x, [12], p["norm.weight"], p["norm.bias"])
    return (x[:, 0] if "class_token" in p else x.mean(1)) @ p["head.weight"] + p["head.bias"]


BLOCKS = {**block_shapes("blocks.0", 12), **block_shapes("blocks.1", 12), "norm.weight": [12], "norm.bias": [12]}
GPT = {"token.weight": [11, 12], "position.weight": [9, 12], **BLOCKS}
VIT = {"patch.conv.weight": [12, 1, 7, 7], "patch.conv.bias": [12]}
VIT_HEAD = {**BLOCKS, "head.weight": [12, 10], "head.bias": [10]}

TRANSFORMERS = {
    "gpt": (gpt, {**GPT, "head.weight": [12, 11]}),
    "gpt, tied": (gpt, GPT),
    "vit": (vit, {**VIT, "position": [1, 16, 12], **VIT_HEAD}),
    "vit, class token": (vit, {**VIT, "class_token": [1, 1, 12], "position": [1, 17, 12], **VIT_HEAD}),
}

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
    "resnet": (resnet, resnet_shapes(3)),
    "resnet, large": (resnet, resnet_shapes(7)),
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
    inputs = dict(images=tensor(2, 1, 28, 28).abs()) if not name.startswith("gpt") else dict(tokens=[(7 * i + i * i) % 11 for i in range(14)])
    classes = [3, 8] if "images" in inputs else [(3 * i) % 11 for i in range(14)]
    logits = forward(parameters, inputs.get("images") if "images" in inputs else torch.tensor(inputs["tokens"]).view(2, 7))
    loss = F.cross_entropy(logits, torch.tensor(classes))
    loss.backward()
    weights = [dict(name=key, shape=shapes[key], **digest(p.grad)) for key, p in parameters.items()]
    return dict(name=name, parameters=sum(math.prod(shape) for shape in shapes.values()), **inputs, classes=classes, logits=logits,
                loss=loss.item(), weights=weights)


def write():
    write_fixture("fornax-architectures", "architectures", [case(name, *entry) for name, entry in ARCHITECTURES.items()])


def write_transformers():
    write_fixture("fornax-architectures", "transformers", [case(name, *entry) for name, entry in TRANSFORMERS.items()])
