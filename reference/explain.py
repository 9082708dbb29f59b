"""Attributions by Captum, of networks with weights by formula: one entry a method and network."""

import warnings

import torch
import torch.nn.functional as F
from captum.attr import (
    FeatureAblation,
    InputXGradient,
    IntegratedGradients,
    LayerActivation,
    LayerConductance,
    NoiseTunnel,
    Occlusion,
    Saliency,
    ShapleyValueSampling,
)
from captum.metrics import infidelity, sensitivity_max
from fixture import tensor, wave, write as write_fixture
from torch import nn

warnings.filterwarnings("ignore", module="captum")

SHAPE = (2, 1, 6, 6)
CLASSES = [1, 2]
SIDE = 3
ORDERS = [[2, 0, 3, 1], [1, 3, 2, 0], [0, 1, 2, 3]]


class Network(nn.Module):
    """Weights are three times a wave of their position; `hidden` is an identity that shows an activation."""

    def __init__(self, shapes):
        super().__init__()
        self.p = {name: 3 * wave(k, *shape) for k, (name, shape) in enumerate(shapes.items())}
        self.hidden = nn.Identity()


class Mlp(Network):
    def __init__(self):
        super().__init__({"w1": [36, 8], "b1": [8], "w2": [8, 4], "b2": [4]})

    def forward(self, x):
        return self.hidden(torch.tanh(x.flatten(1) @ self.p["w1"] + self.p["b1"])) @ self.p["w2"] + self.p["b2"]


class Cnn(Network):
    def __init__(self):
        super().__init__({"w1": [3, 1, 3, 3], "b1": [3], "w2": [48, 4], "b2": [4]})

    def forward(self, x):
        x = self.hidden(F.relu(F.conv2d(x, self.p["w1"], self.p["b1"])))
        return x.flatten(1) @ self.p["w2"] + self.p["b2"]


class Lstm(Network):
    """Rows are the steps; gates i, f, g, o."""

    def __init__(self):
        super().__init__({"wx": [6, 20], "wh": [5, 20], "b": [20], "w2": [5, 4], "b2": [4]})

    def forward(self, x):
        x = x.flatten(0, 1)
        h, c = x.new_zeros(len(x), 5), x.new_zeros(len(x), 5)
        for t in range(6):
            i, f, g, o = (x[:, t] @ self.p["wx"] + h @ self.p["wh"] + self.p["b"]).split(5, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.hidden(h) @ self.p["w2"] + self.p["b2"]


class Transformer(Network):
    """Rows are the tokens: one head of attention with a residual, and the mean."""

    def __init__(self):
        super().__init__({"q": [6, 6], "k": [6, 6], "v": [6, 6], "w2": [6, 4], "b2": [4]})

    def forward(self, x):
        x = x.flatten(0, 1)
        q, k, v = (x @ self.p[name] for name in "qkv")
        x = x + torch.softmax(q @ k.transpose(1, 2) / 6**0.5, 2) @ v
        return self.hidden(torch.tanh(x).mean(1)) @ self.p["w2"] + self.p["b2"]


def given(tensors):
    """Perturbations for Captum, which asks for all samples at once, those of an example side by side."""
    stacked = torch.stack(tensors, 1).flatten(0, 1)
    return lambda *_: stacked


def tunnel(net, x, target, noise, kind):
    """Captum's noise tunnel with noise that is given."""
    draw, torch.normal = torch.normal, given(noise)
    try:
        return NoiseTunnel(Saliency(net)).attribute(x, nt_type=kind, nt_samples=len(noise), nt_samples_batch_size=None, target=target)
    finally:
        torch.normal = draw


def case(name, net):
    x, baseline = tensor(*SHAPE), tensor(1, *SHAPE[1:], scale=0.25)
    noise = [tensor(*SHAPE, scale=0.25) for _ in range(3)]
    target = torch.tensor(CLASSES)
    rows, columns = torch.meshgrid(torch.arange(6) // SIDE, torch.arange(6) // SIDE, indexing="ij")
    groups = (2 * rows + columns)[None, None]
    full = baseline.expand_as(x)
    integrated, gap = IntegratedGradients(net).attribute(x, full, target=target, n_steps=12, return_convergence_delta=True)
    shapley = ShapleyValueSampling(net)
    shapley.permutation_generator = lambda *_: [torch.tensor(order) for order in ORDERS]
    saliency = Saliency(net)
    occlude = lambda side, stride: Occlusion(net).attribute(x, (1, side, side), strides=(1, stride, stride), baselines=full, target=target)
    # Captum wants of the perturbations what they are and what becomes of the input.
    perturb = lambda inputs, *_: (given(noise)(), inputs - given(noise)())
    # What it gives must be a tuple, or Captum takes its examples for tensors.
    explain = lambda inputs, target: (saliency.attribute(inputs[0] if isinstance(inputs, tuple) else inputs, target=target),)
    results = dict(
        saliency=saliency.attribute(x, target=target),
        input_x_gradient=InputXGradient(net).attribute(x, target=target),
        integrated_gradients=integrated,
        gap=gap,
        smooth_grad=tunnel(net, x, target, noise, "smoothgrad"),
        smooth_grad_squared=tunnel(net, x, target, noise, "smoothgrad_sq"),
        var_grad=tunnel(net, x, target, noise, "vargrad"),
        feature_ablation=FeatureAblation(net).attribute(x, full, feature_mask=groups, target=target),
        occlusion=occlude(3, 3),
        occlusion_overlapping=occlude(4, 2),
        occlusion_over_the_edge=occlude(4, 3),
        shapley_sampling=shapley.attribute(x, full, feature_mask=groups, n_samples=3, target=target),
        layer_activation=LayerActivation(net, net.hidden).attribute(x).flatten(1),
        layer_conductance=LayerConductance(net, net.hidden).attribute(x, full, target=target, n_steps=12).flatten(1),
        infidelity=infidelity(net, perturb, x, integrated, target=target, n_perturb_samples=3),
        sensitivity_max=sensitivity_max(
            explain, x, lambda inputs: inputs + given(noise)(), target=target, n_perturb_samples=3),
    )
    return dict(name=name, x=x, baseline=baseline, noise=torch.stack(noise), results={key: value.detach() for key, value in results.items()})


def write():
    torch.manual_seed(8)
    networks = {"mlp": Mlp(), "cnn": Cnn(), "lstm": Lstm(), "transformer": Transformer()}
    write_fixture("fornax-explain", "explain", [case(name, net) for name, net in networks.items()])


if __name__ == "__main__":
    write()
