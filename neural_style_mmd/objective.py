"""The only owner of executors: two pictures become targets, then each evaluation is one forward and one backward.

The weights of the terms are head gradients, so calibration, optimisation and logging share one objective. MXNet 1.9.1
gives the weighted sum of gradients only if `forward(is_train=True)` stands before each `backward`, and not through
MakeLoss, which ignores head gradients (a test pins both).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model_zoo.errors import InputError
from model_zoo.vgg19 import LAYERS, deepest_of, parameter_shapes
from model_zoo.weights import Weights

from . import _mxnet, losses
from ._mxnet import mx
from .blocks import block_shape, draw_blocks, halves_of_blocks
from .config import BF16, BLOCKS, FLOAT32, PAIRS, TransferConfig
from .evaluation import FIXED_DRAW, PAIRS_STREAM, Evaluation, style_term
from .first_layer import FIRST_LAYER, SAMPLE_PARTS, FirstLayer
from .images import require_size
from .kept_arrays import KeptArrays
from .moments import Moments, MomentsInParts
from .network import computed_again, copied, parameters_in, vgg19_symbol
from .network_plan import NetworkPlan, network_plan
from .presets import layer_scale
from .winograd import Winograd
from .winograd_bf16 import PIXELS, Bf16Winograd

_STYLE_PICTURE = "style.picture"


class _Part(NamedTuple):
    """Terms that are bound together, and whether their gradient is clipped."""

    terms: tuple[str, ...]
    executor: Any
    clipped: bool


class Objective:
    """The terms of Eq. 3 for one size, one style and one content picture.

    style: the style picture, preprocessed, float32 (1, 3, H_S, W_S), of any size.
    content: the content picture, preprocessed, float32 (1, 3, H, W); None without a content term.
    shape: (1, 3, H, W) of the picture that is made, the content's where there is one.
    precision: of the network, "float32" at first; estimator: of the Gaussian method, "pairs" at first; see use().
    targets_folder: where targets are kept for other objectives that need the same, but for samples, which are the most.
    Raises InputError where a picture is too small for the deepest layer.
    """

    def __init__(
        self,
        config: TransferConfig,
        weights: Weights,
        style: np.ndarray,
        content: np.ndarray | None,
        shape: tuple[int, ...],
        device: str = "cpu",
        targets_folder: Path | None = None,
    ) -> None:
        self.config = config
        self.shape = tuple(shape)
        self._kept, self._network = KeptArrays(targets_folder), weights.sha256
        self._style_shape = style.shape
        self._device = _mxnet.device(device)
        self._lean = all(losses.method(each).reads_mean_alone for each in config.method)
        self._samples = any(losses.method(each).samples_pairs for each in config.method)
        wanted = (*config.layers, *([] if content is None else [config.content_layer]))
        deepest = deepest_of(wanted)
        for *_, height, width in (self.shape, style.shape):
            require_size(height, width, LAYERS[deepest].stride, deepest)
        missing = [name for name in parameter_shapes(deepest) if name not in weights.parameters]
        if missing:
            raise InputError(f"{weights.name}: the weights end before {deepest}: {missing[0]} is missing")
        parameters = {name: weights.parameters[name] for name in parameter_shapes(deepest)}
        self._parameters = {name: _mxnet.shared(array, self._device) for name, array in parameters.items()}
        self._targets = self._measure_style(style)
        if content is not None:
            self._targets["content.features"] = self._measure_content(content)
        self._bind(FLOAT32, PAIRS)

    def use(self, precision: str, estimator: str = PAIRS) -> None:
        """Run the network in `precision` from now on, "float32" or "bf16", and compare the Gaussian method's samples by
        `estimator`, "pairs" or "blocks"; the targets stay those of float32."""
        if not self._pairs:
            estimator = PAIRS  # no method samples
        if (precision, estimator) != (self.precision, self.estimator):
            del self._parts  # before the other is bound: never the memory of two
            _mxnet.give_memory_back()
            self._bind(precision, estimator)

    def evaluate(self, x: np.ndarray, weights: Mapping[str, float], draw: int = FIXED_DRAW) -> Evaluation:
        """Every term at the picture `x` (1, 3, H, W), and the gradient of their sum weighted with `weights`.

        A term that `weights` leaves out counts 0. `draw` chooses the Gaussian method's pairs.
        """
        self._draw_pairs(draw)
        self._data[:] = x
        values: dict[str, float] = {}
        gradients: dict[bool, np.ndarray] = {}
        heads = mx.nd.array([weights.get(name, 0.0) for name in self.terms], ctx=self._device)
        heads = {name: heads[i : i + 1] for i, name in enumerate(self.terms)}  # views; to copy each takes far longer
        for part in self._parts:
            outputs = part.executor.forward(is_train=True)
            part.executor.backward([heads[name] for name in part.terms])
            # Read before the next part, which uses the same memory.
            values |= {name: float(value.asscalar()) for name, value in zip(part.terms, outputs, strict=True)}
            if part.clipped in gradients:
                gradients[part.clipped] += self._gradient.asnumpy()
            else:
                gradients[part.clipped] = self._gradient.asnumpy()
        terms = {name: values[name] for name in self.terms}
        total = sum(weights.get(name, 0.0) * value for name, value in terms.items())
        return Evaluation(terms, total, gradients[True], gradients.get(False))

    def terms_at(self, x: np.ndarray, draw: int = FIXED_DRAW) -> dict[str, float]:
        """Every term at `x`, the bits that evaluate() gives, without the gradient and so in less than half the time."""
        self._draw_pairs(draw)
        self._data[:] = x
        values: dict[str, float] = {}
        for part in self._parts:
            outputs = part.executor.forward(is_train=True)  # as in evaluate(): another mode may run other kernels
            values |= {name: float(value.asscalar()) for name, value in zip(part.terms, outputs, strict=True)}
        return {name: values[name] for name in self.terms}

    def style_weight(self, method: str, layer: str) -> float:
        """w_l times the scale of the layer's loss (presets.layer_scale)."""
        scale = layer_scale(self.config.layer_scale, method, LAYERS[layer].channels, _positions(layer, self.shape))
        return self.config.style_layer_weights[layer] * scale

    def _measure_style(self, style: np.ndarray) -> dict:
        targets: dict = {}
        apart, network = self._graphs(self.config.layers, mx.sym.Variable("data"), style.shape)
        for features in (apart, network):
            symbols: dict = {}
            for layer, each in features.items():
                row, positions = LAYERS[layer], _positions(layer, style.shape)
                moments = Moments(each, positions, channels=row.channels, in_rows=layer in apart)
                for method in self.config.method:
                    if _samples_the_picture(method, layer):
                        targets[_STYLE_PICTURE] = mx.nd.array(style, ctx=self._device)
                        continue
                    statistics = losses.method(method, self.config.poly_c).statistic(moments)
                    symbols |= {f"{style_term(method, layer)}.{key}": value for key, value in statistics.items()}
            targets |= self._measured(symbols, style)
        return targets

    def _measure_content(self, content: np.ndarray):
        first, network = self._graphs([self.config.content_layer], mx.sym.Variable("data"), content.shape)
        return self._measured(first or network, content)[self.config.content_layer]

    def _measured(self, symbols: dict, picture: np.ndarray) -> dict:
        """The values of `symbols` at `picture`, as MXNet arrays; those that are kept are not computed again."""
        depends = {
            "targets": list(symbols),
            "picture": picture,
            "network": self._network,
            "pooling": self.config.pooling,
            "lean": self._lean,
            "device": str(self._device),
            "plan": self._plan(picture.shape, FLOAT32, PAIRS),
        }
        found = self._kept.find(depends)
        missing = {name: symbol for name, symbol in symbols.items() if name not in found}
        made = self._forward(missing, picture) if missing else {}
        self._kept.keep({name: each.asnumpy() for name, each in made.items() if not _is_sample(name)}, depends)
        return {name: _mxnet.shared(each, self._device) for name, each in found.items()} | made

    def _forward(self, symbols: dict, picture: np.ndarray) -> dict:
        """The values of `symbols` at `picture`, as MXNet arrays, by an executor that is gone afterwards."""
        group = mx.sym.Group(list(symbols.values()))
        winograd = self._winograd(picture.shape, FLOAT32, PAIRS)
        known = parameters_in(FLOAT32, self._parameters, winograd)
        known["data"] = mx.nd.array(picture, ctx=self._device)
        executor = group.bind(self._device, {name: known[name] for name in group.list_arguments()}, grad_req="null")
        values = [value.copy() for value in executor.forward(is_train=True)]
        mx.nd.waitall()
        del executor
        _mxnet.give_memory_back()
        return dict(zip(symbols, values, strict=True))

    def _bind(self, precision: str, estimator: str) -> None:
        self.precision, self.estimator, self._draw = precision, estimator, -1
        network, *others = self._symbols(precision)
        bound = {name for symbols in (network, *others) for name in symbols}
        styles = (style_term(method, layer) for method in self.config.method for layer in self.config.layers)
        self.terms = tuple(name for name in (*styles, "content", "tv") if name in bound)
        self._data, self._gradient = (mx.nd.zeros(self.shape, ctx=self._device) for _ in range(2))
        self._pairs = self._pair_inputs()
        # The network first: the others find place in its memory, and what it needs most of, as it runs, stands beside
        # no other part's gradient.
        winograd = self._winograd(self.shape, precision, estimator)
        parameters = parameters_in(precision, self._parameters, winograd) if network else {}
        parts = [self._bound(network, parameters, None, True)] if network else []
        for symbols in filter(None, others):
            clipped = symbols is not others[-1]
            parts.append(self._bound(symbols, self._parameters, parts[0] if parts else None, clipped))
        self._parts = parts

    def _bound(
        self, symbols: Mapping[str, Any], parameters: Mapping[str, Any], larger: _Part | None, clipped: bool
    ) -> _Part:
        """The terms of `symbols`, in the memory of the part `larger`."""
        group = mx.sym.Group(list(symbols.values()))
        inputs = {**parameters, "data": self._data, **self._targets, **self._pairs}
        arguments = {name: inputs[name] for name in group.list_arguments()}
        requests = {name: "write" if name == "data" else "null" for name in arguments}
        memory = larger.executor if larger else None
        executor = group.bind(self._device, arguments, {"data": self._gradient}, requests, shared_exec=memory)
        return _Part(tuple(symbols), executor, clipped)

    def _symbols(self, precision: str) -> tuple[dict, dict, dict, dict]:
        """{term: symbol} of the parts: what reads the network; FIRST_LAYER's moments and its samples, if they are bound
        apart; and what is never clipped."""
        config = self.config
        data = mx.sym.Variable("data")  # one node: a second variable of the same name would take the gradient away
        apart, deeper = self._graphs(self._layers(), data, self.shape, precision, self.estimator)
        deeper = self._as_losses_read(deeper, precision)
        features = apart | deeper
        network: dict = {}
        first: dict = {}
        sampled: dict = {}
        unclipped: dict = {}
        drawn = self._first_samples(data)
        read = self._moments(apart, deeper, drawn[0])
        # The shallow layers' losses first: MXNet plans in this order, and then with less memory.
        for layer in sorted(features, key=list(LAYERS).index):
            shared = first if layer in apart else network
            for method in config.method if layer in read else ():
                by_samples = _samples_the_picture(method, layer) or isinstance(read[layer], MomentsInParts)
                part = sampled if by_samples else shared
                part[style_term(method, layer)] = self._style_loss(method, layer, read[layer], drawn)
            if self._has_content and layer == config.content_layer:
                shared["content"] = losses.content_loss(features[layer], config.content_factor)
        if config.tv_weight:
            part = unclipped if config.tv_form == "release" else network
            part["tv"] = losses.total_variation(data, config.tv_form)
        return network, first, sampled, unclipped

    def _graphs(
        self,
        layers: Collection[str],
        data,
        shape: tuple[int, ...],
        precision: str = FLOAT32,
        estimator: str = PAIRS,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """{layer: features} of FIRST_LAYER, where it is bound apart, and of the network, for pictures of `shape`. Those
        of the former may be in parts, for Moments."""
        plan, winograd = self._plan(shape, precision, estimator), self._winograd(shape, precision, estimator)
        in_network = self._lean if precision == FLOAT32 else winograd is not None and not self._samples
        halves = plan.halves and self._reads_no_whole_first_block()
        apart: dict[str, Any] = {}
        if FIRST_LAYER in layers and not in_network:
            first = FirstLayer()
            apart[FIRST_LAYER] = first.halves(data, shape[2]) if halves else first.features(data)
        others = [layer for layer in layers if layer not in apart]
        if not others:
            return apart, {}
        halves_of = shape[2] if halves else None
        return apart, vgg19_symbol(others, self.config.pooling, data, precision, plan.recompute, winograd, halves_of)

    def _reads_no_whole_first_block(self) -> bool:
        """Whether no loss reads layers before pool1, but for FIRST_LAYER's moments and samples, which are apart."""
        read = {*self.config.layers, self.config.content_layer}
        return not self._lean and "relu1_2" not in read and self.config.content_layer != FIRST_LAYER

    def _plan(self, shape: tuple[int, ...], precision: str, estimator: str) -> NetworkPlan:
        return network_plan(self.config.method, shape[2], shape[3], precision, estimator)

    def _winograd(self, shape: tuple[int, ...], precision: str, estimator: str) -> Winograd | Bf16Winograd | None:
        if precision == BF16:  # by AMX the direct convolution is faster
            return Bf16Winograd(shape[2]) if shape[2] * shape[3] <= PIXELS and not _mxnet.USES_AMX else None
        plan = self._plan(shape, precision, estimator)
        if plan.winograd is None:
            return None
        return Winograd(shape[2], shape[3], plan.winograd, plan.kernels_once, plan.direct)

    def _layers(self) -> list[str]:
        """Those that some loss reads."""
        return list(dict.fromkeys([*self.config.layers, *([self.config.content_layer] if self._has_content else [])]))

    @property
    def _has_content(self) -> bool:
        return "content.features" in self._targets

    def _moments(
        self, apart: Mapping[str, Any], deeper: Mapping[str, Any], drawn: Mapping[str, Any]
    ) -> dict[str, Moments | MomentsInParts]:
        """What the style losses read of each layer of _graphs, one for all methods of a fusion. `drawn`: FIRST_LAYER's
        samples, of which its moments are made where they are all of them, and no Gram matrix is: it need not be
        computed once more. In blocks that takes more memory."""
        methods = [losses.method(method) for method in self.config.method]
        with_gram = any(method.reads_gram for method in methods)
        plan = self._plan(self.shape, self.precision, self.estimator)
        again = computed_again(plan.recompute)

        def moments(layer: str) -> Moments | MomentsInParts:
            positions, channels = _positions(layer, self.shape), LAYERS[layer].channels
            if layer in apart:
                if drawn and not with_gram and self.estimator == PAIRS and positions % 2 == 0:  # all, once
                    return MomentsInParts(list(drawn.values()), SAMPLE_PARTS, positions)
                return Moments(apart[layer], positions, with_gram, channels=channels, in_rows=True)
            ways = self._samples, layer in again, plan.samples_again
            return Moments(deeper[layer], positions, with_gram, *ways, channels=channels)

        return {layer: moments(layer) for layer in self.config.layers}

    def _as_losses_read(self, deeper: Mapping[str, Any], precision: str) -> dict[str, Any]:
        """The features that losses read: copied where some read samples, and the next layer another order. The content
        loss, too, whose gradient would otherwise come in an order of its own, and be put into the network's in another
        array to be added."""
        if not self._samples or precision != FLOAT32:
            return dict(deeper)
        winograd = self._winograd(self.shape, precision, self.estimator)
        in_rows_next = {layer for layer in deeper if isinstance(winograd, Winograd) and winograd.reads(layer)}
        return {name: each if name in in_rows_next else copied(each, name) for name, each in deeper.items()}

    def _style_loss(self, method: str, layer: str, moments: Moments | MomentsInParts, drawn: tuple[dict, dict]):
        """The loss of one layer. drawn: see _first_samples."""
        choice: dict[str, Any] = {"poly_c": self.config.poly_c, "bandwidth": self.config.bandwidth}
        choice["samples_again"] = self._plan(self.shape, self.precision, self.estimator).samples_again
        if self.estimator == BLOCKS and losses.method(method).samples_pairs:
            choice["blocks"] = self._drawn_shape(layer)
        chosen, label = losses.method(method, **choice), style_term(method, layer)
        if _samples_the_picture(method, layer):
            picture, inputs = drawn
        else:
            picture = chosen.statistic(moments)
            inputs = losses.loss_inputs(chosen, picture, label)
        return losses.style_distance(chosen, picture, inputs, label, LAYERS[layer].channels, moments.positions)

    def _first_samples(self, data) -> tuple[dict, dict]:
        """FIRST_LAYER's samples of the picture and of the style picture, those that are drawn, in that order; nothing
        where no method samples it."""
        if not self._samples or FIRST_LAYER not in self.config.layers:
            return {}, {}
        drawn = losses.drawn_positions(style_term("gaussian", FIRST_LAYER)).values()
        if self.estimator == BLOCKS:
            arrays, parts = [halves_of_blocks(each, self._drawn_shape(FIRST_LAYER)) for each in drawn], 1
        else:
            arrays, parts = [losses.columns(each) for each in drawn], SAMPLE_PARTS
        pictures, first_layer = (data, mx.sym.Variable(_STYLE_PICTURE)), FirstLayer()
        x, y = (first_layer.samples(*each, parts) for each in zip(pictures, arrays, strict=True))
        return x, y

    def _pair_inputs(self) -> dict:
        """Arrays int32 for the pairs or blocks of each sampling method and layer; filled by _draw_pairs."""
        arrays = {}
        for method in self.config.method:
            if losses.method(method).samples_pairs:
                for layer in self.config.layers:
                    size = self._drawn_shape(layer)
                    for key in ("pairs", "style_pairs"):
                        name = f"{style_term(method, layer)}.{key}"
                        arrays[name] = mx.nd.zeros(size, ctx=self._device, dtype="int32")
        return arrays

    def _drawn_shape(self, layer: str) -> tuple[int, int]:
        """Of the arrays that hold the pairs, (n, 2), or the blocks."""
        if self.estimator == BLOCKS:
            return block_shape(*self._sample_numbers(layer), LAYERS[layer].stride)
        return _positions(layer, self.shape) // 2, 2

    def _sample_numbers(self, layer: str) -> tuple[int, int]:
        """M_F and M_S."""
        return _positions(layer, self.shape), _positions(layer, self._style_shape)

    def _draw_pairs(self, draw: int) -> None:
        """Each draw is a function of (seed, draw, layer) alone, so that a run can be resumed at any iteration."""
        if not self._pairs or draw == self._draw:
            return
        order = list(LAYERS)
        for layer in self.config.layers:
            rng = np.random.default_rng((self.config.seed, PAIRS_STREAM, draw, order.index(layer)))
            drawn = draw_blocks(self._drawn_shape(layer), *self._sample_numbers(layer), rng)
            for key, pairs in drawn.items():
                self._pairs[f"{style_term('gaussian', layer)}.{key}"][:] = pairs
        self._draw = draw


def _positions(layer: str, shape: tuple[int, ...]) -> int:
    """M_l for a picture (1, 3, H, W); poolings round down."""
    stride = LAYERS[layer].stride
    return (shape[2] // stride) * (shape[3] // stride)


def _is_sample(target: str) -> bool:
    return target.endswith(".samples")


def _samples_the_picture(method: str, layer: str) -> bool:
    """Whether the style picture itself is the target, see FIRST_LAYER."""
    return layer == FIRST_LAYER and losses.method(method).samples_pairs
