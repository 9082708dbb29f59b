"""L-BFGS as PyTorch's `LBFGS.step` with a closure: fixed steps and the strong Wolfe line search, over several calls.

Losses of parameters of ranks 1, 2 and 4: a valley of Rosenbrock's through all numbers, an ill-conditioned bowl, and a small network with smooth units.
"""

import torch
from fixture import tensor, write as write_fixture
from rules import SHAPES, start, strays

CALLS = 8
# As in `rules.py`, but call by call: f32 is compared as long as the reference itself, in f32, is this close to itself in f64. And f64 as long as a
# start that is off by some roundings ends that close: a hundred iterations magnify the order of a sum.
STRAY = 2e-5
STRAY64 = 1e-6
ROUNDINGS = 1 + 2e-15


def rosenbrock(parameters, _):
    x = torch.cat([p.flatten() for p in parameters])
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def bowl(parameters, _):
    x = torch.cat([p.flatten() for p in parameters])
    steep = 0.5 + torch.arange(len(x), dtype=x.dtype) ** 2 / 8
    return (steep * (x - 0.3) ** 2).sum()


def network(parameters, data):
    vector, matrix, kernel = parameters
    inputs, targets = data
    hidden = (inputs @ matrix + vector).tanh()
    return ((hidden @ kernel.reshape(4, 3)).tanh() - targets).square().mean()


def walk(loss, data, dtype, lr, iterations, history, line_search, scale=1.0):
    parameters = [(p * scale).to(dtype).requires_grad_() for p in start()]
    data = [d.to(dtype) for d in data]
    optimizer = torch.optim.LBFGS(parameters, lr=lr, max_iter=iterations, history_size=history, line_search_fn="strong_wolfe" if line_search == "strong-wolfe" else None)
    evaluations = 0

    def closure():
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        value = loss(parameters, data)
        value.backward()
        return value

    calls = []
    for _ in range(CALLS):
        optimizer.step(closure)
        values = [p.detach().double().clone() for p in parameters]
        calls.append(dict(evaluations=evaluations, loss=float(loss(values, [d.double() for d in data])), **dict(zip(SHAPES, values))))
    return calls


def case(loss, lr, iterations, history, line_search):
    data = [tensor(20, 3), tensor(20, 3, scale=0.5)] if loss is network else []
    calls = walk(loss, data, torch.float64, lr, iterations, history, line_search)
    single = walk(loss, data, torch.float32, lr, iterations, history, line_search)
    close = [strays([a], [b]) < STRAY for a, b in zip(calls, single)]
    calls32 = close.index(False) if False in close else CALLS
    # What is compared has to differ: a walk that has arrived says nothing about the next call.
    moved = [True] + [strays([a], [b]) > 1e-9 for a, b in zip(calls, calls[1:])]
    shaken = walk(loss, data, torch.float64, lr, iterations, history, line_search, ROUNDINGS)
    posed = [m and strays([a], [b]) < STRAY64 for m, a, b in zip(moved, calls, shaken)]
    last = posed.index(False) if False in posed else CALLS
    name = f"{loss.__name__}, {line_search}, {iterations} iterations of {lr}, history {history}"
    print(name, "f32:", calls32, "calls:", last, "loss", calls[-1]["loss"], "evaluations", calls[-1]["evaluations"])
    named = dict(inputs=data[0], targets=data[1]) if data else {}
    return dict(name=name, kind=loss.__name__, line_search=line_search, lr=lr, iterations=iterations, history=history, calls32=calls32, calls=calls[:last], **named)


def write():
    cases = [case(loss, 1.0, iterations, history, "strong-wolfe") for loss in (rosenbrock, bowl, network) for iterations, history in ((1, 100), (4, 5), (20, 100))]
    cases += [case(bowl, 0.5, 4, 5, "fixed"), case(network, 0.8, 4, 10, "fixed")]
    write_fixture("fornax-optimizers", "lbfgs", cases)


if __name__ == "__main__":
    write()
