"""Schedules: the factor at every step, by PyTorch's schedulers; where PyTorch has none, by the paper's equation under LambdaLR."""

import math

import torch
from fixture import write as write_fixture
from pytorch_optimizer.lr_scheduler import REXScheduler
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torch.optim.swa_utils import SWALR


def sgd(lr=1.0):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def factors(name, count, make, **numbers):
    optimizer = sgd()
    scheduler = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return dict(name=name, kind="factors", factors=torch.tensor(rates), **numbers)


def one_cycle(steps, **options):
    case = factors("one-cycle", steps, lambda o: OneCycleLR(o, max_lr=1.0, total_steps=steps, cycle_momentum=False, **options))
    return dict(case, total=steps, climb=options.get("pct_start", 0.3), divide=options.get("div_factor", 25.0),
                final_divide=options.get("final_div_factor", 1e4), linear=options.get("anneal_strategy") == "linear", three_phases=options.get("three_phase", False))


def cyclic(mode, up, down, low, gamma=1.0):
    make = lambda o: CyclicLR(o, base_lr=low, max_lr=1.0, step_size_up=up, step_size_down=down, mode=mode, gamma=gamma, cycle_momentum=False)
    return factors("cyclic", 50, make, mode=mode.replace("_", "-"), up=up, down=down, low=low, gamma=gamma)


def rex(total):
    # Its first rate is that of step 1.
    optimizer = sgd()
    scheduler = REXScheduler(optimizer, total_steps=total, max_lr=1.0, min_lr=0.0)
    return dict(name="rex", kind="factors", total=total, end=0.0, factors=torch.tensor([1.0] + [float(scheduler.step()) for _ in range(total)]))


def noam(step, w):
    n = step + 1
    return min(n**-0.5, n * w**-1.5) / w**-0.5


def swa(linear):
    optimizer = sgd()
    cosine = CosineAnnealingLR(optimizer, T_max=30)
    anneal = SWALR(optimizer, swa_lr=0.4, anneal_epochs=8, anneal_strategy="linear" if linear else "cos")
    optimizer.param_groups[0]["lr"] = 1.0
    rates = []
    for step in range(40):
        if step > 12:
            anneal.step()
        rates.append(float(optimizer.param_groups[0]["lr"]))
        if step < 12:
            cosine.step()
    return dict(name="swa", kind="factors", total=30, at=12, steps=8, end=0.4, linear=linear, factors=torch.tensor(rates))


def plateau(name, values, **options):
    optimizer = sgd()
    scheduler = ReduceLROnPlateau(optimizer, **options)
    rates = []
    for value in values:
        scheduler.step(value)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    minimum = options.get("min_lr", 0.0)
    return dict(name=f"plateau, {name}", kind="plateau", values=torch.tensor(values), factors=torch.tensor(rates), factor=scheduler.factor,
                patience=scheduler.patience, threshold=scheduler.threshold, relative=scheduler.threshold_mode == "rel", cooldown=scheduler.cooldown,
                min=minimum, maximize=scheduler.mode == "max")


def cases():
    yield factors("step", 30, lambda o: StepLR(o, step_size=7, gamma=0.3), size=7, gamma=0.3)
    yield factors("multi-step", 30, lambda o: MultiStepLR(o, milestones=[4, 9, 20], gamma=0.2), milestones=torch.tensor([4.0, 9.0, 20.0]), gamma=0.2)
    yield factors("exponential", 20, lambda o: ExponentialLR(o, gamma=0.9), gamma=0.9)
    yield factors("polynomial", 25, lambda o: PolynomialLR(o, total_iters=20, power=1.0), total=20, power=1.0, end=0.0)
    yield factors("polynomial", 25, lambda o: PolynomialLR(o, total_iters=20, power=2.5), total=20, power=2.5, end=0.0)
    yield factors("linear", 25, lambda o: LinearLR(o, 1.0, 0.1, total_iters=20), total=20, end=0.1)
    yield factors("warm-up from", 15, lambda o: SequentialLR(o, [LinearLR(o, 0.25, 1.0, total_iters=6), CosineAnnealingLR(o, T_max=10)], [6]), steps=6, start=0.25, total=10)
    yield factors("restarts", 45, lambda o: CosineAnnealingWarmRestarts(o, T_0=10, T_mult=1, eta_min=0.1), first=10, multiple=1, end=0.1)
    yield factors("restarts", 80, lambda o: CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2, eta_min=0.0), first=5, multiple=2, end=0.0)
    yield one_cycle(40)
    yield one_cycle(33, pct_start=0.4, div_factor=10.0, final_div_factor=100.0, anneal_strategy="linear")
    yield one_cycle(40, three_phase=True)
    yield one_cycle(37, pct_start=0.25, three_phase=True, anneal_strategy="linear")
    yield cyclic("triangular", 6, 6, 0.1)
    yield cyclic("triangular2", 5, 9, 0.2)
    yield cyclic("exp_range", 7, 4, 0.1, gamma=0.97)
    yield factors("noam", 40, lambda o: LambdaLR(o, lambda t: noam(t, 12)), warm_up=12)
    yield factors("inverse-sqrt", 40, lambda o: LambdaLR(o, lambda t: (9 / (9 + t)) ** 0.5), timescale=9)
    yield factors("wsd", 40, lambda o: SequentialLR(o, [ConstantLR(o, factor=1.0, total_iters=0), LinearLR(o, 1.0, 0.1, total_iters=10)], [20]),
                  total=30, decay=10, end=0.1, shape="linear")
    yield factors("wsd", 30, lambda o: SequentialLR(o, [ConstantLR(o, factor=1.0, total_iters=0), CosineAnnealingLR(o, T_max=10)], [20]),
                  total=30, decay=10, end=0.0, shape="cosine")
    # Hägele et al. 2024, equation 1.
    yield factors("wsd", 31, lambda o: LambdaLR(o, lambda t: 1.0 if t < 20 else 1.0 - math.sqrt((t - 20) / 10)), total=30, decay=10, end=0.0, shape="sqrt")
    yield rex(25)
    yield factors("chained", 30, lambda o: ChainedScheduler([ExponentialLR(o, gamma=0.95), StepLR(o, step_size=8, gamma=0.5)]))
    yield factors("sequential", 30, lambda o: SequentialLR(o, [ExponentialLR(o, gamma=0.9), StepLR(o, step_size=3, gamma=0.5), LinearLR(o, 1.0, 0.0, total_iters=5)], [8, 20]))
    yield swa(False)
    yield swa(True)
    falling = [1.0 / (1 + t) for t in range(8)]
    yield plateau("defaults", falling + [0.125] * 30)
    yield plateau("patience and cooldown", falling + [0.2, 0.3, 0.1] * 10, factor=0.5, patience=2, cooldown=3)
    yield plateau("absolute threshold and least rate", [1.0 - 0.005 * t for t in range(40)], factor=0.3, patience=1, threshold=0.02, threshold_mode="abs", min_lr=0.05)
    yield plateau("maximized", [0.5 + 0.3 * (1 - 0.7**t) for t in range(15)] + [0.7, 0.75] * 12, mode="max", factor=0.4, patience=3, threshold=0.01)


def write():
    write_fixture("fornax-optimizers", "schedules", list(cases()))
