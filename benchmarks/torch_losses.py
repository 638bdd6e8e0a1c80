"""The network and the closed-form losses in PyTorch, for comparison: Eq. 4, 6, 9, 10 and 11 of the paper.

Each method is a statistic of the samples, (M, N): M positions, N channels, and a distance between two statistics, with
the normalisations of neural_style_mmd.losses. Targets are tensors without a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from model_zoo.vgg19 import CONTENT_LAYER, STYLE_LAYERS, rows_up_to

from .contenders import DEEPEST


def features(x: Tensor, parameters: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
    """The layers `wanted`, (1, N, H, W), of VGG-19 with average pooling, up to relu5_1."""
    found = {}
    for row in rows_up_to(DEEPEST):
        if row.kind == "conv":
            x = functional.conv2d(x, parameters[f"{row.name}_weight"], parameters[f"{row.name}_bias"], padding=1)
        elif row.kind == "relu":
            x = functional.relu(x)
        else:
            x = functional.avg_pool2d(x, 2)
        if row.name in wanted:
            found[row.name] = x
    return found


def samples(layer: Tensor) -> Tensor:
    """(1, N, H, W) -> (M, N), a view in either memory format; float32 whatever the network's precision."""
    return layer[0].flatten(1).t().float()


def mean(x: Tensor) -> tuple[Tensor, ...]:
    """mu, (N,)."""
    return (x.mean(0),)


def gram(x: Tensor) -> tuple[Tensor, ...]:
    """G / M, (N, N)."""
    return (x.t() @ x / len(x),)


def mean_and_std(x: Tensor) -> tuple[Tensor, ...]:
    """mu and sigma, (N,); a sigma within the rounding error of mu counts as 0 and has gradient 0."""
    variance, mu = torch.var_mean(x, 0, correction=0)
    varies = variance.detach() > (1e-5 * mu.detach()) ** 2
    return mu, torch.where(varies, torch.where(varies, variance, 1.0).sqrt(), 0.0)


def all_samples(x: Tensor) -> tuple[Tensor, ...]:
    """The samples themselves, (M, N)."""
    return (x,)


def mean_distance(x: Sequence[Tensor], target: Sequence[Tensor], channels: int) -> Tensor:
    """Sum of squared differences of every part of the statistics, over N: linear, and bn (Eq. 11)."""
    return torch.stack([(a - b).square().sum() for a, b in zip(x, target, strict=True)]).sum() / channels


def gram_distance(x: Sequence[Tensor], target: Sequence[Tensor], channels: int) -> Tensor:
    """Eq. 6, and Eq. 9 with c = 0."""
    return (x[0] - target[0]).square().sum() / (4 * channels**2)


def kernel_distance(x: Sequence[Tensor], target: Sequence[Tensor], channels: int) -> Tensor:
    """The linear-time MMD^2 of the Gaussian kernel; x and target: the two samples of each pair, (n, N)."""
    (x0, x1), (y0, y1) = x, target
    pairs = ((x0, x1), (y0, y1), (x0, y1), (x1, y0))
    squares = torch.stack([(a - b).square().sum(1) for a, b in pairs])  # (4, n)
    kernels = torch.exp(squares / (-2 * squares.detach().mean().clamp_min(1e-30))).mean(1)
    return kernels[0] + kernels[1] - kernels[2] - kernels[3]


METHODS: dict[str, tuple[Callable[[Tensor], tuple[Tensor, ...]], Callable[..., Tensor]]] = {
    "linear": (mean, mean_distance),
    "poly": (gram, gram_distance),
    "gaussian": (all_samples, kernel_distance),
    "bn": (mean_and_std, mean_distance),
    "gram": (gram, gram_distance),
}
"""Name -> statistic, distance."""


def targets(
    methods: Sequence[str], content: Tensor, style: Tensor, parameters: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, ...]]:
    """What the terms are compared with, by the terms' names, in the order of `terms`."""
    with torch.no_grad():
        found: dict[str, tuple[Tensor, ...]] = {}
        found["content"] = (features(content, parameters, [CONTENT_LAYER])[CONTENT_LAYER].float(),)
        layers = {name: samples(each) for name, each in features(style, parameters, STYLE_LAYERS).items()}
        for method in methods:
            for layer in STYLE_LAYERS:
                found[f"style.{method}.{layer}"] = METHODS[method][0](layers[layer])
    return {name: tuple(each.contiguous() for each in parts) for name, parts in found.items()}


def terms(
    x: Tensor, parameters: Mapping[str, Tensor], aims: Mapping[str, tuple[Tensor, ...]], drawn: Mapping[str, Tensor]
) -> Tensor:
    """Every term of `aims` at the picture `x` (1, 3, H, W), in order.

    drawn: "<term>.pairs" and "<term>.style_pairs", int64 (n, 2), of the gaussian terms.
    """
    layers = features(x, parameters, (*STYLE_LAYERS, CONTENT_LAYER))
    values = []
    for name, target in aims.items():
        if name == "content":
            values.append(0.5 * (layers[CONTENT_LAYER].float() - target[0]).square().sum())
            continue
        _, method, layer = name.split(".")
        statistic, distance = METHODS[method]
        found = statistic(samples(layers[layer]))
        if f"{name}.pairs" in drawn:
            found, target = (
                drawn_samples(found[0], drawn[f"{name}.pairs"]),
                drawn_samples(target[0], drawn[f"{name}.style_pairs"]),
            )
        values.append(distance(found, target, layers[layer].shape[1]))
    return torch.stack(values)


def drawn_samples(x: Tensor, pairs: Tensor) -> tuple[Tensor, ...]:
    """The first and the second samples of each pair, (n, N)."""
    return x.index_select(0, pairs[:, 0]), x.index_select(0, pairs[:, 1])
