"""Layers and losses: outputs, and gradients of `Σ y ⊙ direction` (losses: of the loss) by every input and parameter."""

import torch
import torch.nn.functional as F
from fixture import leaf, tensor, write as write_fixture

ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def gradients(y, direction, **leaves):
    """The gradients by name, taken once; the leaves are left clean."""
    grads = torch.autograd.grad((y * direction).sum(), list(leaves.values()))
    return dict(zip(leaves, grads))



def conv_block(name, inputs, outputs, kernel, stride, padding, size, activation="relu"):
    x, weight, bias = leaf(3, inputs, *size), leaf(outputs, inputs, kernel, kernel, scale=0.5), leaf(outputs)
    y = ACTIVATIONS[activation](F.conv2d(x, weight, bias, stride=stride, padding=padding))
    direction = tensor(*y.shape)
    config = dict(inputs=inputs, outputs=outputs, kernel=kernel, stride=stride, padding=padding, activation=activation)
    return dict(name=name, kind="conv_block", **config, x=x, weight=weight, bias=bias, direction=direction, y=y,
                gradients=gradients(y, direction, x=x, weight=weight, bias=bias))


def norm_steps(apply, xs, gamma, beta, direction, leaves):
    """Two steps in training, then evaluation of the first input with the statistics that they left."""
    channels = gamma.shape[0]
    running = [torch.zeros(channels), torch.ones(channels)]
    steps = []
    for x in xs:
        y = apply(x, running, True)
        grads = gradients(y, direction, x=x, gamma=gamma, beta=beta, **leaves)
        steps.append(dict(x=x, y=y, gradients=grads, running_mean=running[0].clone(), running_var=running[1].clone()))
    y = apply(xs[0], running, False)
    evaluation = dict(y=y, gradients=gradients(y, direction, x=xs[0], gamma=gamma, beta=beta, **leaves))
    return dict(gamma=gamma, beta=beta, direction=direction, steps=steps, evaluation=evaluation)


def conv_block_norm(name, inputs, outputs, kernel, stride, padding, size, activation):
    xs = [leaf(3, inputs, *size) for _ in range(2)]
    weight, gamma, beta = leaf(outputs, inputs, kernel, kernel, scale=0.5), leaf(outputs), leaf(outputs)

    def apply(x, running, training):
        x = F.conv2d(x, weight, stride=stride, padding=padding)
        x = F.batch_norm(x, running[0], running[1], gamma, beta, training=training, momentum=0.1, eps=1e-5)
        return ACTIVATIONS[activation](x)

    shape = F.conv2d(xs[0], weight, stride=stride, padding=padding).shape
    config = dict(inputs=inputs, outputs=outputs, kernel=kernel, stride=stride, padding=padding, activation=activation)
    return dict(name=name, kind="conv_block_norm", **config, weight=weight,
                **norm_steps(apply, xs, gamma, beta, tensor(*shape), dict(weight=weight)))


def batch_norm(name, *shape):
    xs = [leaf(*shape, scale=2.0) for _ in range(2)]
    gamma, beta = leaf(shape[1]), leaf(shape[1])

    def apply(x, running, training):
        return F.batch_norm(x, running[0], running[1], gamma, beta, training=training, momentum=0.1, eps=1e-5)

    return dict(name=name, kind="batch_norm", **norm_steps(apply, xs, gamma, beta, tensor(*shape), {}))


def dense_block(activation, *batch):
    x, weight, bias = leaf(*batch, 5), leaf(5, 4), leaf(4)
    # Burn's layout: y = x W + b.
    y = ACTIVATIONS[activation](x @ weight + bias)
    direction = tensor(*y.shape)
    return dict(name=f"dense {activation} of {len(batch) + 1} dimensions", kind="dense_block", activation=activation, x=x, weight=weight, bias=bias,
                direction=direction, y=y, gradients=gradients(y, direction, x=x, weight=weight, bias=bias))


def max_pool(side, *shape):
    x = leaf(*shape)
    y = F.max_pool2d(x, side)
    direction = tensor(*y.shape)
    return dict(name=f"max_pool {side} of {list(shape)}", kind="max_pool", side=side, x=x, direction=direction, y=y,
                gradients=gradients(y, direction, x=x))


def loss(kind, y, x, **more):
    return dict(name=f"{kind} {more.get('smoothing', '')}".strip(), kind=kind, x=x, loss=y.item(), gradients=gradients(y, torch.tensor(1.0), x=x), **more)


def losses():
    classes = torch.tensor([3, 0, 4, 4, 1, 2])
    for smoothing in (0.0, 0.1, 0.5):
        logits = leaf(6, 5, scale=8.0)
        yield loss("cross_entropy", F.cross_entropy(logits, classes, label_smoothing=smoothing), logits, smoothing=smoothing, classes=classes.tolist())
    # Logits whose exponentials overflow float32.
    logits = (tensor(6, 5) * 128).requires_grad_()
    yield loss("cross_entropy", F.cross_entropy(logits, classes), logits, smoothing=0.0, classes=classes.tolist())
    x, target = leaf(3, 4, scale=4.0), tensor(3, 4, scale=4.0)
    yield loss("mse", F.mse_loss(x, target), x, target=target)
    x = leaf(3, 4, scale=4.0)
    yield loss("smooth_l1", F.smooth_l1_loss(x, target), x, target=target)
    target = tensor(3, 4).abs()
    for scale in (4.0, 256.0):
        x = leaf(3, 4, scale=scale)
        yield loss("binary_cross_entropy", F.binary_cross_entropy_with_logits(x, target), x, target=target)


def write():
    cases = [
        conv_block("conv 3x3", 2, 4, 3, 1, 0, (7, 6)),
        conv_block("conv 3x3 with padding", 3, 2, 3, 1, 1, (5, 6)),
        conv_block("conv 5x5 with stride and padding", 1, 3, 5, 2, 2, (9, 8), "tanh"),
        conv_block("conv 1x1", 4, 3, 1, 1, 0, (3, 4), "identity"),
        conv_block_norm("conv 3x3 and batch norm", 2, 3, 3, 1, 0, (6, 5), "relu"),
        conv_block_norm("conv 3x3, stride, padding and batch norm", 1, 4, 3, 2, 1, (7, 7), "gelu"),
        batch_norm("batch norm of features", 6, 3),
        batch_norm("batch norm of images", 4, 3, 2, 5),
        *(dense_block(activation, 4) for activation in ACTIVATIONS),
        dense_block("relu", 2, 3),
        max_pool(2, 2, 3, 4, 6),
        max_pool(2, 2, 1, 5, 7),
        max_pool(4, 1, 2, 8, 9),
        *losses(),
    ]
    write_fixture("fornax-layers", "layers", cases)
