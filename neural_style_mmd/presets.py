"""The paper's setting, the release's and a fast one, as values: every number with its source beside it.

Sources. "paper" and a section or equation: Li, Wang, Liu, Hou, IJCAI 2017. NS, MM, BN, VG and lines: neural-style.py,
mmd_loss.py, bn_loss.py and model_vgg19.py of github.com/lyttonhao/Neural-Style-MMD at a79b913, "the release". "MXNet
example": dmlc/mxnet example/neural-style, which the paper names, and from which what it leaves open is taken. "ours": a
choice of this package. docs/FIDELITY.md sets the two side by side. Imports without NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from model_zoo.vgg19 import CONTENT_LAYER, STYLE_LAYERS


class Choice(NamedTuple):
    """A setting's value and where it comes from."""

    value: Any
    source: str


PAPER: Mapping[str, Choice] = {
    "method": Choice(("poly",), "ours; the loss that the paper starts from"),
    "fusion": Choice((), "ours; section 4 gives no weights"),
    "fusion_rule": Choice("each", "paper, 4: a balance weight between the two methods"),
    "gamma": Choice(1.0, "ours; paper, 4: 0.1 to 10"),
    "alpha": Choice(1.0, "paper, 4"),
    "balance": Choice("measured", "paper, 4: the same order of magnitude, chosen by hand; measured is ours"),
    "beta_prime": Choice((), "ours; the paper gives no numbers"),
    "content_factor": Choice(0.5, "paper, Eq. 4"),
    "layer_scale": Choice("paper", "paper, Eq. 6, 10 and 11; Z of linear (N) and of gaussian (1) is ours"),
    "estimator": Choice("pairs", "paper, 3.2: the unbiased estimate of its [9], which samples pairs"),
    "bandwidth": Choice(1.0, "paper, 4: sigma^2 is the mean of the squared distances"),
    "poly_c": Choice(0.0, "paper, 3.2: the Gram loss"),
    "layers": Choice(STYLE_LAYERS, "paper, 4"),
    "layer_weights": Choice((), "paper, 4: w_l = 1"),
    "content_layer": Choice(CONTENT_LAYER, "paper, 4"),
    "pooling": Choice("avg", "MXNet example"),
    "tv_weight": Choice(0.0, "paper, Eq. 3 has no such term"),
    "tv_form": Choice("free", "ours; not used at weight 0"),
    "input_range": Choice(255.0, "ours; what VGG-19 was trained with"),
    "size": Choice(512, "ours"),
    "style_size": Choice(0, "ours"),
    "style_shape": Choice("own", "ours; statistics do not need equal sizes"),
    "init": Choice("noise", "paper, 4: initialized randomly"),
    "init_amplitude": Choice(0.1, "MXNet example"),
    "seed": Choice(0, "ours"),
    "optimizer": Choice("sgd", "MXNet example, run.py"),
    "learning_rate": Choice(0.0, "MXNet example for sgd: 1e-3"),
    "momentum": Choice(0.9, "MXNet example, run.py"),
    "weight_decay": Choice(5e-4, "MXNet example, run.py"),
    "decay_factor": Choice(0.9, "MXNet example"),
    "decay_every": Choice(80, "MXNet example, run.py"),
    "lbfgs_restart": Choice(25, "ours; so that a run with lbfgs can be resumed, bit for bit"),
    "horizon": Choice(0, "ours; as many as there are iterations"),
    "step_scale": Choice(0.0, "ours"),
    "clip": Choice(1.0, "MXNet example"),
    "iterations": Choice(500, "paper, 4"),
    "stop_change": Choice(0.005, "paper, 4"),
    "stop_after": Choice(10, "ours; with momentum 0.9 a step takes 10 updates to reach its length"),
    "time_limit": Choice(0.0, "ours"),
    "precision": Choice("float32", "ours; the paper says nothing of it"),
    "rounding": Choice("nearest", "ours"),
    "denoise": Choice(0.0, "ours; the paper says nothing of it"),
    "weights": Choice("auto", "ours; paper, 4: VGG-19"),
    "offline": Choice(False, "ours"),
}

RELEASE: Mapping[str, Choice] = {
    "gamma": Choice(5.0, "NS, default of --style-weight; run.sh has 5, and 1 for bn"),
    "alpha": Choice(1.0, "NS, default of --content-weight"),
    "balance": Choice("release", "NS:215-226"),
    "content_factor": Choice(1.0, "NS:182, 272: the gradient is 2 alpha (F - P)"),
    "layer_scale": Choice("release", "NS:144, 160-168; MM:88-129; BN:43-63"),
    "bandwidth": Choice(0.5, "MM:65-71: exp(-d / mean d)"),
    "poly_c": Choice(0.0, "NS, default of --mmd-poly-c"),
    "layers": Choice(STYLE_LAYERS, "VG:43-46; NS, default of --style-layer"),
    "layer_weights": Choice((), "NS:160-168: no weights besides the layers' scales"),
    "content_layer": Choice(CONTENT_LAYER, "VG:43-46"),
    "pooling": Choice("avg", "VG:15-38"),
    "tv_weight": Choice(0.01, "NS, default of --tv-weight"),
    "tv_form": Choice("release", "NS:186-208, 313-318"),
    "input_range": Choice(256.0, "NS:82, 99"),
    "size": Choice(600, "NS, default of --max-long-edge"),
    "style_shape": Choice("content", "NS:81, 94-98"),
    "init": Choice("noise", "NS:279-281"),
    "init_amplitude": Choice(0.1, "NS:281"),
    "optimizer": Choice("sgd", "NS:285-293"),
    "learning_rate": Choice(1e-3, "NS, default of --lr"),
    "momentum": Choice(0.9, "NS:285-293"),
    "weight_decay": Choice(5e-4, "NS:285-293"),
    "decay_factor": Choice(0.9, "NS:285-293; --lr-sched-factor"),
    "decay_every": Choice(80, "NS:285-293; --lr-sched-delay"),
    "step_scale": Choice(1.0, "NS:307-311: the gradient as it is, clipped"),
    "clip": Choice(1.0, "NS:297, 307-311"),
    "iterations": Choice(1000, "NS:34"),
    "stop_change": Choice(0.005, "NS:322-328"),
    "stop_after": Choice(0, "NS:322-328: from the first step"),
    "precision": Choice("float32", "MXNet's default, which NS does not change"),
    "rounding": Choice("floor", "NS:109-117"),
    "denoise": Choice(0.02, "NS:109-127, 346"),
}
"""What the release sets, also where it agrees with PAPER; for what it has no setting the values of PAPER hold."""

FAST: Mapping[str, Choice] = {
    "init": Choice("content", "ours; nearer to the end than noise, docs/PERFORMANCE.md"),
    "estimator": Choice("blocks", "ours; its gradient scatters less, and one draw is fitted less; docs/PERFORMANCE.md"),
    "optimizer": Choice("preconditioned-nag", "ours; docs/PERFORMANCE.md has what each optimizer reaches"),
    "iterations": Choice(94, "ours; with all evaluations about a fifth of the paper's time"),
    "stop_change": Choice(0.0, "ours; small steps gain, too"),
}
"""The paper's objective sooner: the same losses and weights, another start and another way down. No reproduction of how
the paper optimises."""

PRESETS: Mapping[str, Mapping[str, Choice]] = {
    "paper": PAPER,
    "release": {**PAPER, **RELEASE},
    "fast": {**PAPER, **FAST},
}
"""Name -> every setting."""

RELEASE_BETA_PRIME = {"linear": 2e3, "poly": 0.1, "gram": 0.1, "gaussian": 3e14, "bn": 1e3}  # NS:215-226
"""The release's constants of the methods. It has no "gram": that is its poly with c = 0."""

RELEASE_LAYER_SCALES: Mapping[str, Callable[[int, int], float]] = {
    "linear": lambda n, m: m / 2,
    "poly": lambda n, m: m,
    "gram": lambda n, m: m,
    "gaussian": lambda n, m: (m - m % 2) / (4 * n * m),
    "bn": lambda n, m: m / 2,
}
"""(N, M) -> s such that gamma beta' s times the gradient of our loss is what the release sends backward; F has rows
f_k. linear (2000 gamma / N)(mu_F - mu_S); poly (0.1 gamma / (N^2 M)) F (F'F - S'S); bn (1000 gamma / N)[...], Eq. 11's
bracket; gaussian (3e14 gamma / (N M)) b [...] where ours is (4 b / M') [...], M' = 2 floor(M / 2)."""


def layer_scale(rule: str, method: str, channels: int, positions: int) -> float:
    """The factor on a layer's loss under `rule`, a value of the setting layer_scale."""
    return 1.0 if rule == "paper" else RELEASE_LAYER_SCALES[method](channels, positions)
