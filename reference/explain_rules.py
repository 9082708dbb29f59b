"""Attributions that lead back through a network by rules: Captum's, and by their equations what it lacks. Weights by formula."""

import warnings

import torch
from captum.attr import LRP, DeepLift, Deconvolution, GuidedBackprop, GuidedGradCam, LayerGradCam
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from fixture import tensor, wave, write as write_fixture
from torch import nn

warnings.filterwarnings("ignore", module="captum")

SHAPE = (2, 1, 6, 6)
CLASSES = [1, 2]


def weights(k: int, *shape: int) -> torch.Tensor:
    """Waves for which ReLU lets something pass in every network and example."""
    return 3 * wave(3 * k + 10, *shape)


def linear(k: int, inputs: int, outputs: int, bias: bool) -> nn.Linear:
    """Tensors k and k + 1; the weight's formula counts `[inputs, outputs]`."""
    layer = nn.Linear(inputs, outputs)
    layer.weight.data = weights(k, inputs, outputs).T.contiguous()
    layer.bias.data = weights(k + 1, outputs) * bias
    return layer


def conv(k: int, inputs: int, outputs: int, padding: int, bias: bool) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, padding=padding)
    layer.weight.data = weights(k, outputs, inputs, 3, 3)
    layer.bias.data = weights(k + 1, outputs) * bias
    return layer


class Mlp(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.a, self.b, self.head = linear(0, 36, 8, bias), linear(2, 8, 7, bias), linear(4, 7, 4, bias)
        self.relu_a, self.relu_b = nn.ReLU(), nn.ReLU()

    def layers(self):
        return [nn.Flatten(), self.a, self.relu_a, self.b, self.relu_b, self.head]

    def forward(self, x):
        return self.head(self.relu_b(self.b(self.relu_a(self.a(x.flatten(1))))))


class Cnn(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.a, self.b = conv(0, 1, 3, 0, bias), conv(2, 3, 4, 1, bias)
        self.c, self.head = linear(4, 16, 5, bias), linear(6, 5, 4, bias)
        self.relu_a, self.relu_b, self.relu_c, self.pool = nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2)

    def layers(self):
        return [self.a, self.relu_a, self.b, self.relu_b, self.pool, nn.Flatten(), self.c, self.relu_c, self.head]

    def forward(self, x):
        x = self.relu_b(self.b(self.relu_a(self.a(x))))
        # A tensor of its own: where one is what ReLU gives and pooling reads, Captum's DeepLift hooks run in the wrong order, and nothing adds up.
        return self.head(self.relu_c(self.c(self.pool(x + 0).flatten(1))))


def lrp(net, rules, x, target):
    """Captum's, with a rule for each kind of layer; where a rule has no ε of its own, next to none."""
    for module in net.modules():
        for kind, rule in ({nn.MaxPool2d: lambda: EpsilonRule(1e-15)} | rules).items():
            if isinstance(module, kind):
                module.rule = rule()
                if isinstance(module.rule, Alpha1_Beta0_Rule):
                    module.rule.STABILITY_FACTOR = 1e-15
    return LRP(net).attribute(x, target=target)


def alpha_beta(net, alpha, beta, x, target):
    """Bach et al., equation 60, by the matrix of every layer: of one example."""
    values = [x]
    for layer in net.layers():
        values.append(layer(values[-1]))
    relevance = torch.zeros_like(values[-1])
    relevance[0, target] = values[-1][0, target]
    for layer, given, made in reversed(list(zip(net.layers(), values, values[1:]))):
        if isinstance(layer, nn.Flatten):
            relevance = relevance.reshape(given.shape)
        elif isinstance(layer, nn.MaxPool2d):
            leaf = given.detach().requires_grad_()
            relevance = torch.autograd.grad((layer(leaf) * (relevance / torch.where(made == 0, 1.0, made))).sum(), leaf)[0] * given
        elif not isinstance(layer, nn.ReLU):
            matrix = torch.autograd.functional.jacobian(layer, given).reshape(made.numel(), given.numel())
            parts = matrix * given.flatten()  # [outputs, inputs]
            bias = (made.flatten() - parts.sum(1))[:, None]
            share = lambda sign: (sign * parts).clamp(min=0) / (((sign * parts).clamp(min=0).sum(1, True) + (sign * bias).clamp(min=0)) + 1e-300)
            relevance = ((alpha * share(1) - beta * share(-1)) * relevance.flatten()[:, None]).sum(0).reshape(given.shape)
    return relevance


def grad_cam_plus_plus(net, x, target):
    """Chattopadhay et al., equations 10 and 19, divided by the maximum."""
    seen = []
    handle = net.relu_b.register_forward_hook(lambda _, __, y: seen.append(y))
    score = net(x).gather(1, target[:, None]).sum()
    handle.remove()
    a = seen[0]
    g = torch.autograd.grad(score, a)[0]
    below = 2 * g**2 + (a.sum((2, 3), True) * g**3)
    alpha = torch.where(g == 0, 0.0, g**2 / torch.where(below == 0, 1.0, below))
    cam = ((alpha * g.relu()).sum((2, 3), True) * a).sum(1).relu()
    return cam / cam.amax((1, 2), True)


def case(name, net):
    x, baseline = tensor(*SHAPE), tensor(1, *SHAPE[1:], scale=0.25)
    target, dense, convolution = torch.tensor(CLASSES), nn.Linear, nn.Conv2d
    results = dict(
        guided_backprop=GuidedBackprop(net).attribute(x, target=target),
        deconvolution=Deconvolution(net).attribute(x, target=target),
        deep_lift=DeepLift(net).attribute(x, baseline.expand_as(x), target=target),
        lrp_epsilon=lrp(net, {(dense, convolution): lambda: EpsilonRule(1e-2)}, x, target),
        lrp_alpha_beta=torch.cat([alpha_beta(net, 2.0, 1.0, x[i : i + 1], CLASSES[i]) for i in range(2)]),
    )
    if isinstance(net, Cnn):
        results["grad_cam"] = LayerGradCam(net, net.relu_b).attribute(x, target=target, relu_attributions=True)
        results["guided_grad_cam"] = GuidedGradCam(net, net.relu_b).attribute(x, target=target)
        results["grad_cam_plus_plus"] = grad_cam_plus_plus(net, x, target)
    return dict(name=name, bias=True, classes=CLASSES, x=x, baseline=baseline, results={key: value.detach() for key, value in results.items()})


def unbiased(name, net):
    """Without biases and inputs below 0, where Captum's rules are those of the papers; of the classes that the network prefers."""
    x = tensor(*SHAPE).abs()
    target, dense, convolution = net(x).argmax(1), nn.Linear, nn.Conv2d
    results = dict(
        lrp_gamma=lrp(net, {(dense, convolution): lambda: GammaRule(0.25)}, x, target),
        lrp_z_plus=lrp(net, {(dense, convolution): Alpha1_Beta0_Rule}, x, target),
        lrp_epsilon_plus=lrp(net, {dense: lambda: EpsilonRule(1e-6), convolution: Alpha1_Beta0_Rule}, x, target),
    )
    return dict(name=name, bias=False, classes=target.tolist(), x=x, results={key: value.detach() for key, value in results.items()})


def write():
    torch.manual_seed(9)
    biased = [case("mlp", Mlp(True)), case("cnn", Cnn(True))]
    write_fixture("fornax-explain", "explain_rules", biased + [unbiased("cnn", Cnn(False))])


if __name__ == "__main__":
    write()
