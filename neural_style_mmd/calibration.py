"""beta': the factor by which the gradient norms of style and content on the picture become equal (paper, section 4).

Differs from the paper: there beta' is chosen by hand for each method, to an order of magnitude; here it is measured,
for each pair of pictures anew. The setting beta_prime keeps one; the figures take the geometric mean over their pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from model_zoo.errors import InputError

from .config import TransferConfig
from .evaluation import noise, norm, style_term

if TYPE_CHECKING:
    from .objective import Objective

POINT_AMPLITUDE = 20.0
"""Our choice: the point must have a picture's texture. At a flat picture the ratio of the methods' norms is another, by
a factor of more than a hundred with the surrogate (docs/FIDELITY.md has the table), and at the content picture itself
the content gradient is 0. Noise alone has this contrast too: its features are then about a picture's; at +-100 they are
so strong that steps scaled by their gradient never left the flat start under poly, whose gradient falls with the
features."""

ROUNDING = 1e-4
"""A content gradient this much smaller than at the point is 0 but for the rounding of float32."""

_POINT_DRAW, START_DRAW = 1, 0


@dataclass(frozen=True)
class Balance:
    """The weights of the terms and the gradient norms they come from (Euclidean norms over the whole picture).

    point: where the norms were measured, in words.
    content_norm: norm of the content loss's gradient, None without a content term.
    style_norms: {method: {"total": norm for sum_l w_l L_l, "layers": {layer: norm for L_l}}}; w_l holds the setting
        layer_scale, which is 1 for the paper. "layers" is empty where beta' is not measured.
    beta_prime: {method: beta'_m}.
    term_weights: {term: weight}, what the optimisation uses, all of Eq. 3.
    ratio_at_point, ratio_at_start: norm of the whole weighted style gradient over that of the weighted content
        gradient; None without a content term, and at a start where the content gradient is 0, the content picture.
    step_scale: the factor on the whole objective, and so on its gradient, before a step, see `balance`.
    """

    point: str
    content_norm: float | None
    style_norms: Mapping[str, Mapping[str, Any]]
    beta_prime: Mapping[str, float]
    term_weights: Mapping[str, float]
    ratio_at_point: float | None
    ratio_at_start: float | None
    step_scale: float

    def summands(self, terms: Mapping[str, float]) -> dict[str, float]:
        """{term: weight times value}: what Eq. 3 adds up."""
        return {name: self.term_weights[name] * value for name, value in terms.items()}

    def as_dict(self) -> dict[str, Any]:
        """The balance in JSON's types."""
        return asdict(self)


def calibration_point(
    config: TransferConfig, shape: tuple[int, ...], content: np.ndarray | None
) -> tuple[np.ndarray, str]:
    """A textured picture (1, 3, H, W), whatever the run's start, and what it is in words."""
    texture = noise(shape, POINT_AMPLITUDE, config.seed, _POINT_DRAW)
    where = f"uniform noise of +-{POINT_AMPLITUDE:g}"
    return (texture, where) if content is None else (content + texture, f"content + {where}")


def balance(objective: Objective, point: np.ndarray, where: str, start: np.ndarray) -> Balance:
    """Measure the gradient norms at `point`, choose beta' and the weights of all terms.

    Where beta' is fixed (the settings balance and beta_prime) it is used, and the norm of the method's whole style loss
    is measured all the same. Otherwise, without a content term beta' is 1 (paper, Figure 1: only the style loss). The
    norms of the layers are measured where beta' is. The gaussian method uses the fixed draw.

    step_scale, unless it is set, makes the norm of the gradient of style and content at `point` equal to 3HW, the norm
    at which the MXNet example clips. The paper's losses have arbitrary scales (Z, alpha, the magnitude of the network's
    features), and a learning rate means something only relative to them; with it a step depends on the balance of the
    terms alone.
    Raises InputError where a gradient is 0 or not finite, for then nothing can be balanced.
    """
    measured = _at_point(objective, point, where)
    content_norm = objective.config.alpha * (measured.content_norm or 0.0)
    return replace(measured, ratio_at_start=_ratio(objective, start, measured.term_weights, ROUNDING * content_norm))


def _at_point(objective: Objective, point: np.ndarray, where: str) -> Balance:
    """What balance() gives, but for the ratio at the start. No gradient outlives this: pictures are large."""
    config = objective.config
    has_content = "content" in objective.terms
    content = _gradient(objective, point, {"content": 1.0}) if has_content else None
    content_norm = _norm(content, "content loss", where, config) if content is not None else None

    style_norms, beta_prime, factors = {}, {}, {}
    given = config.fixed_beta_prime
    styles = []
    for method, fusion in config.fusion_weights.items():
        measured = content_norm is not None and method not in given
        total, layers = (_gradient_by_layers if measured else _gradient_at_once)(objective, point, method)
        total_norm = _norm(total, f"{method} style loss", where, config)
        style_norms[method] = {"total": total_norm, "layers": layers}
        beta_prime[method] = given.get(method, 1.0 if content_norm is None else content_norm / total_norm)
        factors[method] = config.gamma * fusion * beta_prime[method]
        styles.append(factors[method] * total)

    style = reduce(np.add, styles)
    # The gradient is linear in the weights of the terms, so that of their sum needs no further evaluation.
    whole = style if content is None else style + config.alpha * content
    whole_norm = _norm(whole, "objective", where, config)
    return Balance(
        point=where,
        content_norm=content_norm,
        style_norms=style_norms,
        beta_prime=beta_prime,
        term_weights=_term_weights(objective, factors),
        ratio_at_point=None if content_norm is None else norm(style) / (config.alpha * content_norm),
        ratio_at_start=None,
        step_scale=config.step_scale or float(np.prod(objective.shape)) / whole_norm,
    )


def _gradient_by_layers(objective: Objective, point: np.ndarray, method: str) -> tuple[np.ndarray, dict[str, float]]:
    """The gradient of sum_l w_l L_l of one method, and the norm of each layer's gradient of L_l."""
    total, norms = np.zeros(objective.shape, np.float32), {}
    for layer in objective.config.layers:
        weight = objective.style_weight(method, layer)
        norms[layer] = _add(total, weight, _gradient(objective, point, {style_term(method, layer): 1.0}))
    return total, norms


def _add(total: np.ndarray, weight: float, gradient: np.ndarray) -> float:
    """Add the weighted gradient to `total`; its norm."""
    total += weight * gradient
    return norm(gradient)


def _gradient_at_once(objective: Objective, point: np.ndarray, method: str) -> tuple[np.ndarray, dict[str, float]]:
    """The same gradient in one evaluation, without the layers' norms."""
    weights = {style_term(method, layer): objective.style_weight(method, layer) for layer in objective.config.layers}
    return _gradient(objective, point, weights), {}


def _term_weights(objective: Objective, factors: Mapping[str, float]) -> dict[str, float]:
    """Eq. 3 and 5 for several methods: alpha L_content + sum_m factor_m sum_l w_l L_m^l, and tv; factor_m is
    gamma f_m beta'_m."""
    config = objective.config
    weights = {"content": config.alpha, "tv": config.tv_weight}
    for method, factor in factors.items():
        for layer in config.layers:
            weights[style_term(method, layer)] = factor * objective.style_weight(method, layer)
    return {name: weights[name] for name in objective.terms}


def _ratio(objective: Objective, x: np.ndarray, weights: Mapping[str, float], floor: float) -> float | None:
    if "content" not in objective.terms:
        return None
    content = norm(_gradient(objective, x, {"content": weights["content"]}))
    if content <= floor:  # at x = content it is 0
        return None
    style = {name: value for name, value in weights.items() if name.startswith("style.")}
    return norm(_gradient(objective, x, style)) / content


def _gradient(objective: Objective, x: np.ndarray, weights: Mapping[str, float]) -> np.ndarray:
    return objective.evaluate(x, weights).gradient


def _norm(gradient: np.ndarray, what: str, where: str, config: TransferConfig) -> float:
    length = norm(gradient)
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"the gradient of the {what} has norm {length:g} at {where}: {_cause(length, what, config)}")
    return length


def _cause(length: float, what: str, config: TransferConfig) -> str:
    """Why a gradient at a textured point, which no picture equals, is 0 or not finite; and what to do."""
    if length != 0:
        return "it is beyond float32 with this network and these settings; check --weights"
    if what == "objective":
        return "--alpha is 0 and so is --gamma or --fusion; give numbers above 0"
    if what == "content loss":
        return f"no feature of {config.content_layer} changes with the picture; check --weights or name another layer"
    if not any(config.layer_weights or (1.0,)):
        return "every --layer-weights is 0; give one above 0"
    narrow = ", or the kernel is too narrow (--bandwidth)" if what.startswith("gaussian") else ""
    return f"no feature of {','.join(config.layers)} changes with the picture{narrow}; check --weights or --layers"
