"""Update rules: trajectories of 50 steps, with gradients that follow from the parameters, so that errors compound.

PyTorch's own rules are PyTorch's; the others are their authors' packages (`schedulefree`, `prodigyopt`) or `pytorch_optimizer`, or, where that differs from
the paper, the equations of the paper in NumPy's plainest form here.
"""

import math

import torch
from fixture import write as write_fixture

SHAPES = dict(vector=(4,), matrix=(3, 4), kernel=(2, 2, 1, 3))
STEPS = 50
SEEN = (2, 20, STEPS)
CLIP = 0.5


def start() -> list[torch.Tensor]:
    """Element i of parameter k is sin(1.7 i + k), rounded to float32."""
    values = [[math.sin(1.7 * i + k) for i in range(math.prod(shape))] for k, shape in enumerate(SHAPES.values())]
    return [torch.tensor(v).float().double().reshape(shape) for v, shape in zip(values, SHAPES.values())]


def gradients(parameters: list[torch.Tensor], step: int) -> list[torch.Tensor]:
    """A bowl with ripples, a coupling of all parameters, and a disturbance that depends on the step."""
    coupling = torch.cat([p.flatten() for p in parameters]).tanh().mean()
    result = []
    for k, p in enumerate(parameters):
        i = torch.arange(p.numel(), dtype=torch.float64)
        flat = p.flatten()
        g = (0.2 + 0.3 * (i % 3)) * flat + 0.5 * torch.sin(2 * flat + 0.7 * i + k) + 0.3 * torch.cos(0.9 * step + 1.1 * i + k) + 0.2 * coupling
        result.append(g.reshape(p.shape))
    return result


def turned(tensor: torch.Tensor) -> torch.Tensor:
    """Burn's linear weights are the transposed of PyTorch's, which matters to rules that tell rows from columns."""
    return tensor.t().contiguous() if tensor.dim() == 2 else tensor


def case(rule, make, setting, lr, weight_decay=None, schedule=False, clip=False, turn=False, **options):
    kwargs = dict(options)
    if weight_decay is not None:
        kwargs["weight_decay"] = weight_decay
    view = turned if turn else (lambda tensor: tensor)
    parameters = [view(p).clone().requires_grad_() for p in start()]
    optimizer = make(parameters, lr, **kwargs)
    base = [group["lr"] for group in optimizer.param_groups]
    steps = []
    for step in range(STEPS):
        with torch.no_grad():
            for p, g in zip(parameters, gradients([view(p) for p in parameters], step)):
                p.grad = view(g).clone()
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        for group, rate in zip(optimizer.param_groups, base):
            group["lr"] = rate * (1 - step / 60) if schedule else rate
        optimizer.step()
        if step + 1 in SEEN:
            steps.append(dict(step=step + 1, **{name: view(p).detach().clone() for name, p in zip(SHAPES, parameters)}))
    result = dict(name=f"{rule}, {setting}", kind="trajectory", rule=rule, lr=lr, schedule=schedule, clip=CLIP if clip else 0.0, options=options, steps=steps)
    if weight_decay is not None:
        result["weight_decay"] = weight_decay
    if hasattr(optimizer, "eval"):
        optimizer.eval()
        result["eval"] = {name: p.detach().clone() for name, p in zip(SHAPES, parameters)}
    return result


def adam_like(make, betas=(0.9, 0.999), **fixed):
    """A maker that takes our names of Adam's numbers."""

    def build(parameters, lr, **o):
        kwargs = dict(fixed)
        names = [f"beta{k + 1}" for k in range(len(betas))]
        if any(name in o for name in names):
            kwargs["betas"] = tuple(o.pop(name, default) for name, default in zip(names, betas))
        if "epsilon" in o:
            kwargs["eps"] = o.pop("epsilon")
        return make(parameters, lr=lr, **kwargs, **o)

    return build


def rprop(parameters, lr, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50.0):
    return torch.optim.Rprop(parameters, lr=lr, etas=(eta_minus, eta_plus), step_sizes=(step_min, step_max))


def adagrad(parameters, lr, epsilon=1e-10, **o):
    return torch.optim.Adagrad(parameters, lr=lr, eps=epsilon, **o)


def adafactor(parameters, lr, epsilon1=None, epsilon2=1e-3, **o):
    return torch.optim.Adafactor(parameters, lr=lr, eps=(epsilon1, epsilon2), **o)


def amsgrad(parameters, lr, decoupled_weight_decay=False, **o):
    return adam_like(torch.optim.AdamW if decoupled_weight_decay else torch.optim.Adam, amsgrad=True)(parameters, lr, **{"weight_decay": 0.0, **o})


# Rule, maker, and the three settings: PyTorch's defaults, others with decay and a schedule, others with decay and clipping.
PYTORCH = [
    ("sgd", torch.optim.SGD, (dict(lr=0.05), dict(lr=0.05, weight_decay=0.05, momentum=0.9, dampening=0.3), dict(lr=0.05, weight_decay=0.1, momentum=0.8, nesterov=True))),
    ("adagrad", adagrad, (dict(lr=0.1), dict(lr=0.2, weight_decay=0.05, lr_decay=0.02), dict(lr=0.2, weight_decay=0.05, initial_accumulator_value=0.1, epsilon=1e-3))),
    ("adadelta", adam_like(torch.optim.Adadelta), (dict(lr=1.0), dict(lr=2.0, weight_decay=0.05, rho=0.8), dict(lr=1.0, weight_decay=0.1, rho=0.95, epsilon=1e-3))),
    (
        "rmsprop",
        adam_like(torch.optim.RMSprop),
        (dict(lr=0.01), dict(lr=0.01, weight_decay=0.05, alpha=0.9, momentum=0.5, epsilon=1e-3), dict(lr=0.01, weight_decay=0.05, alpha=0.95, centered=True, momentum=0.3, epsilon=1e-2)),
    ),
    ("rprop", rprop, (dict(lr=0.01), dict(lr=0.02, eta_minus=0.4, eta_plus=1.3, step_max=0.1), dict(lr=0.02, eta_minus=0.6, step_min=1e-3))),
    ("adam", adam_like(torch.optim.Adam), (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta1=0.8, beta2=0.95), dict(lr=0.05, weight_decay=0.1, beta1=0.7, beta2=0.9, epsilon=1e-3))),
    ("adamw", adam_like(torch.optim.AdamW), (dict(lr=0.02), dict(lr=0.05, weight_decay=0.3, beta1=0.8, beta2=0.95), dict(lr=0.05, weight_decay=0.1, beta1=0.7, beta2=0.9, epsilon=1e-3))),
    ("amsgrad", amsgrad, (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta2=0.9), dict(lr=0.05, weight_decay=0.1, beta2=0.9, decoupled_weight_decay=True))),
    ("adamax", adam_like(torch.optim.Adamax), (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta1=0.8, beta2=0.9), dict(lr=0.05, weight_decay=0.1, beta2=0.95, epsilon=1e-2))),
    (
        "nadam",
        adam_like(torch.optim.NAdam),
        (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta1=0.8, momentum_decay=0.1), dict(lr=0.05, weight_decay=0.1, beta2=0.9, decoupled_weight_decay=True)),
    ),
    (
        "radam",
        adam_like(torch.optim.RAdam),
        (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta1=0.8, beta2=0.95), dict(lr=0.05, weight_decay=0.1, beta2=0.9, decoupled_weight_decay=True)),
    ),
    (
        "adafactor",
        adafactor,
        (dict(lr=0.05), dict(lr=0.2, weight_decay=0.05, beta2_decay=-0.5, epsilon1=1e-3), dict(lr=0.1, weight_decay=0.1, d=1.5, epsilon1=1e-3, epsilon2=0.5)),
    ),
]


def cases(rules):
    for rule, make, settings in rules:
        turn = rule.endswith("muon")
        for k, setting in enumerate(settings):
            yield case(rule, make, ("defaults", "decay and schedule", "decay and clipping")[k], **setting, schedule=k == 1, clip=k == 2, turn=turn)


def write():
    write_fixture("fornax-optimizers", "rules_pytorch", list(cases(PYTORCH)))


if __name__ == "__main__":
    write()
