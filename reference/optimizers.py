"""Optimizers: 25 steps under given gradients; schedules: the factor at every step; clipping."""

import torch
from fixture import tensor, write as write_fixture
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

STEPS = 25
RULES = [
    ("sgd", "plain", torch.optim.SGD, dict(lr=0.05)),
    ("sgd", "momentum", torch.optim.SGD, dict(lr=0.05, momentum=0.9)),
    ("sgd", "Nesterov", torch.optim.SGD, dict(lr=0.05, momentum=0.8, nesterov=True)),
    ("sgd", "momentum and decay", torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=0.1)),
    ("adam", "defaults", torch.optim.Adam, dict(lr=0.02)),
    ("adam", "other numbers and decay", torch.optim.Adam, dict(lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)),
    ("adamw", "defaults", torch.optim.AdamW, dict(lr=0.02)),
    ("adamw", "other numbers and decay", torch.optim.AdamW, dict(lr=0.05, betas=(0.7, 0.9), eps=1e-4, weight_decay=0.3)),
]


def trajectory(rule, name, make, options):
    matrix, vector = tensor(2, 3), tensor(3)
    # Gradients of changing size and sign, some of them zero.
    gradients = [(tensor(2, 3) * (0.1 + 2.0 * (step % 5 == 0)) * (step % 7 != 3), tensor(3)) for step in range(STEPS)]
    gradients = [tuple(g.float().double() for g in pair) for pair in gradients]
    parameters = [matrix.clone().requires_grad_(), vector.clone().requires_grad_()]
    optimizer = make(parameters, **options)
    steps = []
    for pair in gradients:
        for parameter, gradient in zip(parameters, pair):
            parameter.grad = gradient.clone()
        optimizer.step()
        steps.append(dict(matrix_gradient=pair[0], vector_gradient=pair[1], matrix=parameters[0].detach().clone(), vector=parameters[1].detach().clone()))
    group = optimizer.param_groups[0]
    betas = group.get("betas", (0.0, 0.0))
    numbers = dict(lr=group["lr"], weight_decay=float(group["weight_decay"]), momentum=float(group.get("momentum", 0.0)), nesterov=group.get("nesterov", False),
                   beta1=betas[0], beta2=betas[1], epsilon=group.get("eps", 0.0))
    return dict(name=f"{rule}, {name}", kind="trajectory", rule=rule, defaults=name == "defaults", **numbers, matrix=matrix, vector=vector, steps=steps)


def schedule(name, steps, make, **numbers):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return dict(name=name, kind="schedule", factors=torch.tensor(factors), **numbers)


def schedules():
    yield schedule("linear", 15, lambda o: LinearLR(o, 1.0, 0.1, total_iters=10), total=10, end=0.1, warm_up=0)
    # Up to T: beyond it CosineAnnealingLR climbs again, and ours stays.
    yield schedule("cosine", 11, lambda o: CosineAnnealingLR(o, T_max=10, eta_min=0.1), total=10, end=0.1, warm_up=0)
    yield schedule("cosine", 25, lambda o: CosineAnnealingLR(o, T_max=24, eta_min=0.0), total=24, end=0.0, warm_up=0)
    yield schedule(
        "cosine", 15, lambda o: SequentialLR(o, [LinearLR(o, 1 / 5, 1.0, total_iters=4), CosineAnnealingLR(o, T_max=10)], [4]), total=10, end=0.0, warm_up=4
    )


def clipping(name, limit, scale):
    gradients = [tensor(2, 3, scale=scale), tensor(3, scale=scale)]
    parameters = [torch.zeros_like(g, requires_grad=True) for g in gradients]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    return dict(name=f"clip {name}", kind="clip", limit=limit, norm=norm.item(), matrix=gradients[0], vector=gradients[1],
                clipped_matrix=parameters[0].grad, clipped_vector=parameters[1].grad)


def write():
    cases = [trajectory(*rule) for rule in RULES]
    cases += schedules()
    cases += [clipping("a large norm", 1.0, 64.0), clipping("a small norm", 10.0, 1.0), clipping("a tiny limit", 1e-3, 1.0)]
    write_fixture("fornax-optimizers", "optimizers", cases)
