"""What stands around a rule: transforms of gradients, Lookahead, averages of weights, loss scaling, SAM."""

import numpy
import torch
from fixture import tensor, write as write_fixture
from pytorch_optimizer import SAM, Lookahead
from pytorch_optimizer.optimizer.agc import agc
from torch.optim.swa_utils import AveragedModel

STEPS = 12


def pair():
    return dict(matrix=tensor(2, 3), vector=tensor(3))


def leaves(start):
    return [start["matrix"].clone().requires_grad_(), start["vector"].clone().requires_grad_()]


def gradients(count, scale=1.0):
    return [(tensor(2, 3, scale=scale * (1 + step % 3)), tensor(3, scale=scale)) for step in range(count)]


def steps_of(pairs, results):
    return [dict(matrix_gradient=g[0], vector_gradient=g[1], matrix=r[0], vector=r[1]) for g, r in zip(pairs, results)]


def transformed(name, pairs, make, start, **numbers):
    """Gradients before and after."""
    results = [make(step, [g.clone() for g in pair]) for step, pair in enumerate(pairs)]
    return dict(name=name, kind="transform", **start, **numbers, steps=steps_of(pairs, results))


def with_grad(grads):
    parameters = [torch.zeros_like(g, requires_grad=True) for g in grads]
    for parameter, grad in zip(parameters, grads):
        parameter.grad = grad
    return parameters


def clip_value(_, grads):
    parameters = with_grad(grads)
    torch.nn.utils.clip_grad_value_(parameters, 0.5)
    return [p.grad for p in parameters]


def adaptive(start):
    def make(_, grads):
        # A linear weight is [in, out] here and [out, in] in PyTorch; a vector is one unit, as in timm and in NFNets' own code.
        matrix = agc(start["matrix"].T, grads[0].T, agc_eps=1e-3, agc_clip_val=0.3)
        vector = agc(start["vector"][None], grads[1][None], agc_eps=1e-3, agc_clip_val=0.3)
        return [matrix.T.contiguous(), vector[0]]

    return make


def percentile(q):
    history = []

    def make(_, grads):
        parameters = with_grad(grads)
        history.append(torch.sqrt(sum((g**2).sum() for g in grads)).item())
        torch.nn.utils.clip_grad_norm_(parameters, numpy.percentile(history, q))
        return [p.grad for p in parameters]

    return make


def centralize(_, grads):
    weight = grads[0].T
    return [(weight - weight.mean(dim=1, keepdim=True)).T.contiguous(), grads[1]]


def trajectory(name, optimizer, parameters, pairs, start, kind, **numbers):
    results = []
    for pair_ in pairs:
        for parameter, grad in zip(parameters, pair_):
            parameter.grad = grad.clone()
        optimizer.step()
        results.append([p.detach().clone() for p in parameters])
    return dict(name=name, kind=kind, **start, **numbers, steps=steps_of(pairs, results))


def lookahead(k, alpha):
    start = pair()
    parameters = leaves(start)
    optimizer = Lookahead(torch.optim.SGD(parameters, lr=0.1, momentum=0.9), k=k, alpha=alpha)
    return trajectory(f"Lookahead, k {k}, alpha {alpha}", optimizer, parameters, gradients(STEPS), start, "lookahead", k=k, alpha=alpha)


def average(name, averaged, count, **numbers):
    """The weights of each step and their average."""
    module = torch.nn.ParameterList([torch.zeros(2, 3), torch.zeros(3)])
    model = averaged(module)
    start, steps = numbers.get("start", 0), []
    for step in range(1, count + 1):
        weights = pair()
        module[0].data, module[1].data = weights["matrix"].clone(), weights["vector"].clone()
        if step > start and (step - start) % numbers.get("every", 1) == 0:
            model.update_parameters(module)
        now = model.module if step >= start + numbers.get("every", 1) else module
        steps.append(dict(**weights, average_matrix=now[0].detach().clone(), average_vector=now[1].detach().clone()))
    return dict(name=name, kind="average", **numbers, steps=steps)


def warm_up(decay):
    # `num_averaged` is the number of updates before this one; the first copies.
    def avg(old, new, n):
        d = min(decay, (1 + int(n)) / (10 + int(n)))
        return d * old + (1 - d) * new

    return lambda module: AveragedModel(module, avg_fn=avg)


def scaler(name, finite, **options):
    grad_scaler = torch.amp.GradScaler("cpu", **options)
    parameter = torch.zeros(1, dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scales = []
    for good in finite:
        grad_scaler.scale(parameter.sum() * 0.0)
        parameter.grad = torch.tensor([1.0 if good else float("inf")], dtype=torch.float32)
        grad_scaler.step(optimizer)
        grad_scaler.update()
        scales.append(grad_scaler.get_scale())
    return dict(name=name, kind="scaler", finite=torch.tensor([float(x) for x in finite]), scales=torch.tensor(scales),
                scale=options.get("init_scale", 65536.0), growth=options.get("growth_factor", 2.0), backoff=options.get("backoff_factor", 0.5),
                interval=options.get("growth_interval", 2000))


def sam(rho, adaptive):
    start, target = pair(), pair()
    parameters = leaves(start)
    optimizer = SAM(parameters, torch.optim.SGD, rho=rho, adaptive=adaptive, lr=0.01, momentum=0.9)

    def closure():
        optimizer.zero_grad()
        loss = ((parameters[0] - target["matrix"]) ** 4).sum() + ((parameters[1] - target["vector"]) ** 2).sum() * parameters[0].sum() ** 2
        loss.backward()
        return loss

    steps = []
    for _ in range(STEPS):
        loss = closure().item()
        optimizer.step(closure)
        steps.append(dict(loss=loss, matrix=parameters[0].detach().clone(), vector=parameters[1].detach().clone()))
    return dict(name=f"SAM, rho {rho}, adaptive {adaptive}", kind="sam", rho=rho, adaptive=adaptive, **start, target_matrix=target["matrix"],
                target_vector=target["vector"], steps=steps)


def write():
    torch.manual_seed(1)
    start = pair()
    cases = [
        transformed("clip by value", gradients(4, 2.0), clip_value, start),
        transformed("adaptive clipping", gradients(6), adaptive(start), start),
        transformed("clip at a percentile", gradients(10), percentile(30), start),
        transformed("centralize", gradients(3), centralize, start),
        lookahead(5, 0.5),
        lookahead(3, 0.8),
        average("mean", lambda module: AveragedModel(module), 8, start=0, every=1),
        average("mean", lambda module: AveragedModel(module), 12, start=4, every=3),
        average("warm-up", warm_up(0.9), 12, decay=0.9),
        average("warm-up", warm_up(0.3), 12, decay=0.3),
        scaler("defaults", [True] * 3 + [False] + [True] * 3),
        scaler("growth", [True] * 5 + [False] * 2 + [True] * 7 + [False] + [True] * 4, init_scale=8.0, growth_interval=3),
        scaler("other factors", [True, True, False, True, True, True, True, False] * 3, init_scale=1024.0, growth_factor=1.5, backoff_factor=0.25, growth_interval=2),
        scaler("as far as f32 goes", [True] * 8, init_scale=2.0**125, growth_interval=1),
    ]
    write_fixture("fornax-optimizers", "wrappers", cases)
    write_fixture("fornax-trainer", "sam", [sam(0.05, False), sam(0.5, True)])
