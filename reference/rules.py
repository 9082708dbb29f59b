"""Update rules: trajectories of 50 steps, with gradients that follow from the parameters, so that errors compound.

PyTorch's own rules are PyTorch's. The others are their authors' packages (`schedulefree`, `prodigyopt`), Optax or `pytorch_optimizer`.

A reference that strays in float32 from itself in float64 says nothing about us: a setting in which it does so by more than `STRAY` is refused, and another has to be
chosen. That is the tolerance of our own float32. The one exception is named where it stands.
"""

import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import prodigyopt
import pytorch_optimizer as others
import pytorch_optimizer.optimizer.soap as soap_module
import schedulefree
import torch
from fixture import write as write_fixture
from pytorch_optimizer.optimizer.grokfast import gradfilter_ema

SHAPES = dict(vector=(4,), matrix=(3, 4), kernel=(2, 2, 1, 3))
STEPS = 50
SEEN = (2, 20, STEPS)
CLIP = 0.5
STRAY = 1e-4


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


def to_torch(p: torch.Tensor) -> torch.Tensor:
    """For rules that tell rows from columns: linear weights are transposed in Burn, and a kernel is a matrix with a row an output channel."""
    return p.t() if p.dim() == 2 else p.reshape(len(p), -1) if p.dim() == 4 else p


def from_torch(p: torch.Tensor, shape: tuple) -> torch.Tensor:
    return p.t() if len(shape) == 2 else p.reshape(shape)


def walk(make, kwargs, lr, schedule, clip, turn, dtype):
    """The parameters after some of the steps, and those to evaluate with, if they are others. Gradients are those of float64 in any type."""
    there = to_torch if turn else (lambda p: p)
    back = from_torch if turn else (lambda p, _: p)
    parameters = [there(p).contiguous().clone().to(dtype).requires_grad_() for p in start()]

    def values():
        return [back(p.detach(), shape).contiguous().clone().double() for p, shape in zip(parameters, SHAPES.values())]

    optimizer = make(parameters, lr, **dict(kwargs))
    if hasattr(optimizer, "train"):
        optimizer.train()
    base = [group["lr"] for group in optimizer.param_groups]
    steps, clipped = [], 0
    for step in range(STEPS):
        for p, g in zip(parameters, gradients(values(), step)):
            p.grad = there(g).contiguous().clone().to(dtype)
        if clip:
            clipped += int(torch.nn.utils.clip_grad_norm_(parameters, clip) > clip)
        for group, rate in zip(optimizer.param_groups, base):
            group["lr"] = rate * (1 - step / 60) if schedule else rate
        optimizer.step()
        if step + 1 in SEEN:
            steps.append(dict(step=step + 1, **dict(zip(SHAPES, values()))))
    if clip and not clipped:
        raise ValueError(f"nothing is ever clipped at {clip}")
    if not hasattr(optimizer, "eval"):
        return steps, None
    optimizer.eval()
    return steps, dict(zip(SHAPES, values()))


def strays(steps, others):
    """The largest difference of two walks, as a share of the largest number, tensor by tensor."""
    pairs = [(a[name], b[name]) for a, b in zip(steps, others) for name in SHAPES]
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def case(rule, make, setting, lr, weight_decay=None, schedule=False, clip=0.0, turn=False, tolerance=1e-9, stray=STRAY, **options):
    kwargs = dict(options)
    if weight_decay is not None:
        kwargs["weight_decay"] = weight_decay
    steps, evaluated = walk(make, kwargs, lr, schedule, clip, turn, torch.float64)
    off = strays(steps, walk(make, kwargs, lr, schedule, clip, turn, torch.float32)[0])
    if not off <= stray:
        raise ValueError(f"{rule}, {setting}: float32 strays by {off:.1e} in the reference itself; choose another setting")
    result = dict(name=f"{rule}, {setting}", kind="trajectory", rule=rule, lr=lr, schedule=schedule, clip=float(clip), tolerance=tolerance)
    # LARS there decays no vectors.
    result |= dict(matrices_only=rule == "lars", options=options, steps=steps)
    if weight_decay is not None:
        result["weight_decay"] = weight_decay
    if evaluated is not None:
        result["eval"] = evaluated
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


class LBFGS(torch.optim.LBFGS):
    """One iteration a step."""

    def __init__(self, parameters, lr, history_size=100):
        super().__init__(parameters, lr=lr, history_size=history_size, max_iter=1)

    def step(self):
        super().step(lambda: torch.zeros(()))


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
    ("lbfgs", LBFGS, (dict(lr=0.2), dict(lr=0.3, history_size=5), dict(lr=0.2, history_size=10, schedule=True, clip=2.0))),
    (
        "adafactor",
        adafactor,
        (dict(lr=0.05), dict(lr=0.2, weight_decay=0.05, beta2_decay=-0.5, epsilon1=1e-3), dict(lr=0.1, weight_decay=0.1, d=1.5, epsilon1=1e-3, epsilon2=0.5)),
    ),
]


def cautious_adamw(parameters, lr, weight_decay=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Cautious AdEMAMix without its slow average."""
    return others.AdEMAMix(parameters, lr=lr, betas=(beta1, beta2, 0.0), alpha=0.0, weight_decay=weight_decay, weight_decouple=True, eps=epsilon, cautious=True)


class GrokfastAdamW(torch.optim.AdamW):
    """PyTorch's, behind the filter."""

    def __init__(self, parameters, lr, weight_decay=0.01, alpha=0.98, amplification=2.0, beta1=0.9, beta2=0.999, epsilon=1e-8):
        super().__init__(parameters, lr, (beta1, beta2), epsilon, weight_decay)
        self.model = types.SimpleNamespace(named_parameters=lambda: enumerate(parameters))
        self.slow, self.filter = None, dict(alpha=alpha, lamb=amplification)

    def step(self):
        self.slow = gradfilter_ema(self.model, self.slow, **self.filter)
        super().step()


class SophiaG(others.SophiaH):
    """With ρ B g² for the Hessian, which a clip at 1 turns into Sophia-G."""

    def __init__(self, parameters, lr, weight_decay=0.1, beta1=0.965, beta2=0.99, rho=0.04, batch_size=5120.0, update_every=10):
        super().__init__(parameters, lr, (beta1, beta2), weight_decay, p=1.0, eps=1e-15)
        self.factor, self.every, self.taken = rho * batch_size, update_every, 0

    def step(self):
        looks = self.taken % self.every == 0
        # A period that never comes: the estimate is always given.
        self.update_period, self.taken = STEPS + 2, self.taken + 1
        self.param_groups[0]["step"] = max(self.param_groups[0].get("step", 0), 1)
        super().step(hessian=[self.factor * p.grad**2 for p in self.param_groups[0]["params"]] if looks else None)


class Optax(torch.optim.Optimizer):
    """An Optax transformation made for a learning rate of 1."""

    def __init__(self, parameters, lr, transformation):
        super().__init__(parameters, dict(lr=lr))
        self.transformation = transformation
        self.memory = transformation.init(self.arrays(lambda p: p))

    def arrays(self, part):
        return [jnp.asarray(part(p.detach()).numpy()) for p in self.param_groups[0]["params"]]

    def step(self):
        parameters = self.param_groups[0]["params"]
        gradients = [jnp.asarray(p.grad.numpy()) for p in parameters]
        updates, self.memory = self.transformation.update(gradients, self.memory, self.arrays(lambda p: p))
        with torch.no_grad():
            for p, u in zip(parameters, updates):
                p.add_(torch.from_numpy(np.array(u)), alpha=self.param_groups[0]["lr"])


def lamb(parameters, lr, weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-6):
    return Optax(parameters, lr, optax.lamb(1.0, b1=beta1, b2=beta2, eps=epsilon, weight_decay=weight_decay))


class Yogi(others.Yogi):
    """With m₀ = 0, as in the paper."""

    def init_group(self, group, **kwargs):
        fresh = [p for p in group["params"] if p.grad is not None and not self.state[p]]
        super().init_group(group, **kwargs)
        for p in fresh:
            self.state[p]["exp_avg"].zero_()


class Muon:
    """PyTorch's for the two matrices, without its cast to bfloat16, and its AdamW for the vector."""

    def __init__(self, parameters, lr, weight_decay=0.1, momentum=0.95, nesterov=True, ns_steps=5, match_rms_adamw=False, adamw_lr_scale=1.0, adamw_beta2=0.95):
        vector, *matrices = parameters
        adjust = "match_rms_adamw" if match_rms_adamw else "original"
        self.muon = torch.optim.Muon(matrices, lr, weight_decay, momentum, nesterov, ns_steps=ns_steps, adjust_lr_fn=adjust)
        self.adamw = torch.optim.AdamW([vector], lr * adamw_lr_scale, betas=(0.9, adamw_beta2), weight_decay=weight_decay)
        self.param_groups = self.muon.param_groups + self.adamw.param_groups

    def step(self):
        cast = torch.Tensor.bfloat16
        torch.Tensor.bfloat16 = lambda x: x.clone()
        self.muon.step()
        torch.Tensor.bfloat16 = cast
        self.adamw.step()


class Double:
    """`torch`, with float64 for float32: SOAP's QR decomposition would be in float32."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def soap(parameters, lr, max_precondition_dim=10000, precondition_frequency=10, shampoo_beta=None, **o):
    soap_module.torch = Double()
    make = adam_like(others.SOAP, (0.95, 0.95), max_precondition_dim=max_precondition_dim, precondition_frequency=precondition_frequency, shampoo_beta=shampoo_beta)
    return make(parameters, lr, **o)


def mars(parameters, lr, weight_decay=0.0, vector_beta1=0.9, vector_beta2=0.95, **o):
    make = adam_like(others.MARS, (0.95, 0.99), lr_1d=lr, weight_decay_1d=weight_decay, weight_decay=weight_decay, betas_1d=(vector_beta1, vector_beta2))
    return make(parameters, lr, **o)


def growth(make):
    def build(parameters, lr, growth_rate=0.0, **o):
        return make(parameters, lr, growth_rate=growth_rate or math.inf, **o)

    return build


def prodigy(parameters, lr, beta3=None, decoupled_weight_decay=True, **o):
    return adam_like(prodigyopt.Prodigy, beta3=beta3, decouple=decoupled_weight_decay)(parameters, lr, **o)


def d_adapt_adam(parameters, lr, decoupled_weight_decay=False, **o):
    return adam_like(others.DAdaptAdam, weight_decouple=decoupled_weight_decay)(parameters, lr, **o)


def ademamix(parameters, lr, warmup=0, **o):
    return adam_like(others.AdEMAMix, (0.9, 0.999, 0.9999), weight_decouple=True, t_alpha_beta3=warmup or None)(parameters, lr, **o)


def shampoo(parameters, lr, epsilon=1e-6, **o):
    return others.Shampoo(parameters, lr=lr, matrix_eps=epsilon, **o)


MARS_TOLERANCE = dict(tolerance=1e-5)  # There ε stands inside of the correction of bias.
OTHERS = [
    (
        "muon",
        Muon,
        (dict(lr=0.02), dict(lr=0.05, weight_decay=0.3, momentum=0.9, nesterov=False, ns_steps=4), dict(lr=0.05, match_rms_adamw=True, adamw_lr_scale=0.5, adamw_beta2=0.99)),
    ),
    ("lion", adam_like(others.Lion, (0.9, 0.99)), (dict(lr=0.01), dict(lr=0.02, weight_decay=0.3, beta1=0.8, beta2=0.9), dict(lr=0.02, weight_decay=0.1, beta1=0.95, beta2=0.98))),
    (
        "schedule-free-sgd",
        schedulefree.SGDScheduleFree,
        (dict(lr=0.5), dict(lr=0.5, weight_decay=0.05, momentum=0.8, r=1.0), dict(lr=0.3, weight_decay=0.1, momentum=0.95, warmup_steps=7, weight_lr_power=1.0)),
    ),
    (
        "schedule-free-adamw",
        adam_like(schedulefree.AdamWScheduleFree),
        (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta1=0.8, beta2=0.95, r=1.0), dict(lr=0.05, weight_decay=0.1, beta1=0.95, warmup_steps=7, weight_lr_power=1.0)),
    ),
    (
        "soap",
        soap,
        (
            dict(lr=0.02),
            dict(lr=0.05, weight_decay=0.05, beta1=0.9, precondition_frequency=3, shampoo_beta=0.8),
            dict(lr=0.05, weight_decay=0.1, beta2=0.9, max_precondition_dim=3, precondition_frequency=1),
        ),
    ),
    (
        "prodigy",
        growth(prodigy),
        (
            dict(lr=1.0, stray=0.1),  # The first steps are as small as the roundings of θ, from which it then takes their sum. Ours keeps the sum.
            dict(lr=1.0, weight_decay=0.05, beta1=0.8, beta3=0.9, d0=1e-3, d_coef=2.0, use_bias_correction=True, safeguard_warmup=True),
            dict(lr=0.5, weight_decay=0.1, d0=1e-2, growth_rate=1.1, decoupled_weight_decay=False),
        ),
    ),
    ("lamb", lamb, (dict(lr=0.02), dict(lr=0.05, weight_decay=0.1, beta1=0.8, beta2=0.95), dict(lr=0.05, weight_decay=0.05, epsilon=1e-3))),
    (
        "lars",
        others.LARS,
        (dict(lr=1.0), dict(lr=0.5, weight_decay=0.1, momentum=0.8, trust_coefficient=0.02), dict(lr=0.5, weight_decay=0.1, trust_coefficient=0.05, nesterov=True)),
    ),
    (
        "adabelief",
        adam_like(others.AdaBelief),
        (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta1=0.8, beta2=0.95), dict(lr=0.05, weight_decay=0.1, beta2=0.9, epsilon=1e-3)),
    ),
    ("yogi", adam_like(Yogi), (dict(lr=0.02), dict(lr=0.05, weight_decay=0.05, beta1=0.8, beta2=0.95), dict(lr=0.05, weight_decay=0.1, epsilon=1e-2, initial_accumulator=0.1))),
    ("adan", adam_like(others.Adan, (0.98, 0.92, 0.99)), (dict(lr=0.02), dict(lr=0.05, weight_decay=0.1, beta1=0.9, beta2=0.8), dict(lr=0.05, weight_decay=0.3, beta3=0.9, epsilon=1e-3))),
    ("ademamix", ademamix, (dict(lr=0.02), dict(lr=0.02, weight_decay=0.05, alpha=2.0, beta3=0.99, warmup=30), dict(lr=0.05, weight_decay=0.1, beta1=0.8, beta2=0.9))),
    (
        "d-adapt-adam",
        growth(d_adapt_adam),
        (
            dict(lr=0.1),
            dict(lr=1.0, weight_decay=0.05, beta1=0.8, beta2=0.95, d0=1e-3, bias_correction=True, decoupled_weight_decay=True),
            dict(lr=0.5, weight_decay=0.1, d0=1e-2, growth_rate=1.1),
        ),
    ),
    (
        "sophia-g",
        SophiaG,
        (dict(lr=0.02), dict(lr=0.02, weight_decay=0.05, beta1=0.9, rho=0.5, batch_size=10.0, update_every=4), dict(lr=0.05, beta2=0.9, rho=0.1, batch_size=100.0, update_every=1)),
    ),
    ("shampoo", shampoo, (dict(lr=0.1), dict(lr=0.2, weight_decay=0.05, epsilon=1e-3), dict(lr=0.1, weight_decay=0.1, epsilon=0.1))),
    (
        "mars",
        mars,
        (
            dict(lr=0.02, **MARS_TOLERANCE),
            dict(lr=0.05, weight_decay=0.1, beta1=0.9, gamma=0.1, vector_beta1=0.8, **MARS_TOLERANCE),
            dict(lr=0.05, weight_decay=0.05, beta2=0.9, vector_beta2=0.9, **MARS_TOLERANCE),
        ),
    ),
    ("cautious-adamw", cautious_adamw, (dict(lr=0.02), dict(lr=0.05, weight_decay=0.3, beta1=0.8, beta2=0.95), dict(lr=0.05, weight_decay=0.1, epsilon=1e-3))),
    ("cautious-lion", adam_like(others.Lion, (0.9, 0.99), cautious=True), (dict(lr=0.01), dict(lr=0.02, weight_decay=0.3, beta1=0.8, beta2=0.9), dict(lr=0.02, weight_decay=0.1))),
    ("grokfast-adamw", GrokfastAdamW, (dict(lr=0.02), dict(lr=0.05, weight_decay=0.3, alpha=0.9, amplification=1.0), dict(lr=0.05, weight_decay=0.1, beta1=0.8, beta2=0.95))),
]


def cases(rules):
    for rule, make, settings in rules:
        turn = rule == "muon"
        for k, setting in enumerate(settings):
            setting = dict(schedule=k == 1, clip=CLIP if k == 2 else 0.0) | setting
            yield case(rule, make, ("defaults", "decay and schedule", "decay and clipping")[k], turn=turn, **setting)


def write():
    jax.config.update("jax_enable_x64", True)
    write_fixture("fornax-optimizers", "rules_pytorch", list(cases(PYTORCH)))
    write_fixture("fornax-optimizers", "rules", list(cases(OTHERS)))


if __name__ == "__main__":
    write()
