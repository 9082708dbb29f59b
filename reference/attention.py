"""Layers of Transformers: outputs, and gradients of `Σ y ⊙ direction` (the loss: of the loss) by every input and parameter. A dense weight is [in, out]."""

import torch
import torch.nn.functional as F
from fixture import leaf, tensor, write as write_fixture
from layers import ACTIVATIONS, gradients


def case(kind, name, y, leaves, **more):
    direction = tensor(*y.shape)
    return dict(name=name, kind=kind, **more, **leaves, direction=direction, y=y, gradients=gradients(y, direction, **leaves))


def linear(activation, *shape, outputs):
    leaves = dict(x=leaf(*shape), weight=leaf(shape[-1], outputs), bias=leaf(outputs))
    y = (ACTIVATIONS | {"gelutanh": lambda x: F.gelu(x, approximate="tanh")})[activation](leaves["x"] @ leaves["weight"] + leaves["bias"])
    return case("linear", f"linear of {list(shape)}, {activation}", y, leaves, activation=activation)


def layer_norm(*shape, shift=0.0):
    leaves = dict(x=(tensor(*shape) + shift).requires_grad_(), weight=leaf(shape[-1]), bias=leaf(shape[-1]))
    y = F.layer_norm(leaves["x"], shape[-1:], leaves["weight"], leaves["bias"], eps=1e-5)
    return case("layer_norm", f"layer norm of {list(shape)} around {shift}", y, leaves)


def rms_norm(*shape):
    leaves = dict(x=leaf(*shape), weight=leaf(shape[-1]))
    return case("rms_norm", f"RMS norm of {list(shape)}", F.rms_norm(leaves["x"], shape[-1:], leaves["weight"], eps=1e-6), leaves)


def embedding(count, width, *shape):
    ids, leaves = torch.randint(0, count, shape), dict(weight=leaf(count, width))
    return case("embedding", f"embedding {count} of {list(shape)}", F.embedding(ids, leaves["weight"]), leaves, ids=ids.flatten().tolist(), shape=list(shape))


def attend(qkv, heads, groups, causal, bias):
    b, t, width = qkv.shape
    d = width // (heads + 2 * groups)
    q, k, v = (z.view(b, t, -1, d).transpose(1, 2) for z in qkv.split([heads * d, groups * d, groups * d], 2))
    k, v = (z.repeat_interleave(heads // groups, 1) for z in (k, v))
    mask = bias
    if causal:
        future = torch.full((t, t), float("-inf")).triu(1)
        mask = future if bias is None else bias + future
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(b, t, heads * d)


def attention(b, t, width, heads, groups, causal, hidden=0):
    """`hidden`: the last keys of sequence 0 that nobody sees, by a bias of -1e9 (JSON has no infinity)."""
    total = width // heads * (heads + 2 * groups)
    leaves = dict(x=leaf(b, t, width), qkv_weight=leaf(width, total), qkv_bias=leaf(total), proj_weight=leaf(width, width), proj_bias=leaf(width))
    bias = None
    if hidden:
        bias = torch.zeros(b, 1, 1, t)
        bias[0, :, :, t - hidden:] = -1e9
    y = attend(leaves["x"] @ leaves["qkv_weight"] + leaves["qkv_bias"], heads, groups, causal, bias) @ leaves["proj_weight"] + leaves["proj_bias"]
    name = f"{heads} heads and {groups} groups over [{b}, {t}, {width}]{', causal' * causal}{', padding' * bool(hidden)}"
    return case("attention", name, y, leaves, heads=heads, groups=groups, causal=causal, hidden=hidden)


def cross_entropy(rows, classes, smoothing, ignored):
    x, targets = leaf(rows, classes, scale=4.0), torch.randint(0, classes, (rows,))
    targets[ignored] = -100
    loss = F.cross_entropy(x, targets, label_smoothing=smoothing, ignore_index=-100)
    targets = targets.clone()
    targets[ignored] = classes  # Whole numbers in the fixture are not negative.
    name = f"cross-entropy of [{rows}, {classes}], smoothing {smoothing}, {len(ignored)} ignored"
    return dict(name=name, kind="cross_entropy", smoothing=smoothing, targets=targets.tolist(), x=x, loss=loss.item(),
                gradients=gradients(loss, torch.tensor(1.0), x=x))


def write():
    cases = [
        linear("identity", 2, 3, 13, outputs=17),
        *(linear(activation, 1, 7, 5, outputs=3) for activation in [*ACTIVATIONS, "gelutanh"]),
        layer_norm(1, 5, 7),
        layer_norm(2, 3, 17, shift=8.0),
        rms_norm(1, 5, 7),
        rms_norm(2, 3, 17),
        embedding(7, 5, 2, 9),
        embedding(3, 17, 1, 1),
        attention(2, 5, 6, 2, 2, False),
        attention(1, 13, 6, 3, 3, True),
        attention(3, 7, 8, 4, 2, True),
        attention(2, 7, 8, 4, 1, False, hidden=3),
        attention(1, 71, 3, 1, 1, True),
        cross_entropy(7, 5, 0.0, []),
        cross_entropy(13, 17, 0.1, [0, 5, 12]),
    ]
    write_fixture("fornax-layers", "transformers", cases)
