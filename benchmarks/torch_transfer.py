"""Tasks of a child process that run the same transfer in PyTorch, in several settings, after a check of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

import model_zoo
from model_zoo.errors import InputError
from model_zoo.vgg19 import LAYERS
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.images import preprocess, read_picture
from neural_style_mmd.record import peak_rss
from neural_style_mmd.threads import chosen_threads

from . import torch_losses
from .child import Turn
from .contenders import BARE, DEEPEST, TORCH, Variant, refusal

_OURS = TransferConfig()


class Transfer:
    """One variant's run: the targets, and a step like ours.

    Memory formats of parameters and picture are the variant's; the targets are always measured in float32.
    """

    def __init__(self, methods: str, content: np.ndarray, style: np.ndarray, weights: Any, variant: Variant) -> None:
        self._format = torch.channels_last if variant.channels_last else torch.contiguous_format
        self._dtype = torch.bfloat16 if variant.precision == "bf16" else torch.float32
        plain = {name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in weights.parameters.items()}
        self.aims = {}
        if methods != BARE:
            pictures = torch.from_numpy(content), torch.from_numpy(style)
            self.aims = torch_losses.targets(methods.split("+"), *pictures, plain)
        self._parameters = {name: self._placed(each) for name, each in plain.items()}
        terms = _bare if methods == BARE else torch_losses.terms
        self._terms = torch.compile(terms, dynamic=False) if variant.compiled else terms
        self.heads = torch.ones(max(1, len(self.aims)))
        self._x = torch.from_numpy(content.copy())
        self._momentum = torch.zeros_like(self._x)
        self._limit = float(self._x.numel())

    def evaluate(self, x: Tensor, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The terms, and the gradient of their sum weighted with `heads`."""
        x = x.detach().requires_grad_()
        terms = self._terms(self._placed(x), self._parameters, self.aims, drawn)
        (gradient,) = torch.autograd.grad((terms * self.heads).sum(), x)
        return terms.detach(), gradient

    def step(self) -> None:
        """Draw, evaluate, clip, update (MXNet's SGD), and read the terms."""
        terms, gradient = self.evaluate(self._x, self._draw())
        norm = float(torch.linalg.vector_norm(gradient))
        if norm > self._limit:
            gradient = gradient * (self._limit / norm)
        decayed = gradient + _OURS.weight_decay * self._x
        self._momentum.mul_(_OURS.momentum).sub_(decayed, alpha=_OURS.step_size)
        self._x = self._x + self._momentum
        terms.tolist()

    def run_bare(self) -> None:
        """The network alone, forward and backward."""
        self.evaluate(self._x, {})

    def _placed(self, tensor: Tensor) -> Tensor:
        """In the variant's precision and, for pictures and weights, in its memory format."""
        if tensor.dim() == 4:
            return tensor.to(dtype=self._dtype, memory_format=self._format)
        return tensor.to(self._dtype)

    def _draw(self) -> dict[str, Tensor]:
        """New pairs of each gaussian term: disjoint ones of the picture, in ascending order of their first positions as
        ours are, which is quicker to gather, and random ones of the style picture."""
        drawn = {}
        for name, target in self.aims.items():
            if name.startswith("style.gaussian."):
                stride = LAYERS[name.split(".")[2]].stride
                positions = (self._x.shape[2] // stride) * (self._x.shape[3] // stride)
                n = positions // 2
                first, second = torch.randperm(positions)[: 2 * n].split(n)
                is_first = torch.zeros(positions, dtype=torch.bool)
                is_first[first] = True
                drawn[f"{name}.pairs"] = torch.stack([is_first.nonzero()[:, 0], second], dim=1)
                repeats = -(-2 * n // (len(target[0]) // 2 * 2))
                style = [torch.randperm(len(target[0]))[: len(target[0]) // 2 * 2] for _ in range(repeats)]
                drawn[f"{name}.style_pairs"] = torch.cat(style)[: 2 * n].view(n, 2)
        return drawn


def _bare(x: Tensor, parameters: Any, aims: Any, drawn: Any) -> Tensor:
    """The sum of relu5_1, whose gradient is a head of ones."""
    return torch_losses.features(x, parameters, [DEEPEST])[DEEPEST].float().sum()[None]


def iterate(turn: Turn, methods: str, content: str, style: str, reference: str, variants: Sequence[str]) -> None:
    """Answers a variant's name with the seconds of one of its iterations.

    The first answer is {"errors": {variant: the relative differences from the evaluation in the file `reference`},
    "failed": {variant: why it cannot run}}. Raises InputError where a variant computes something else.
    """
    torch.set_num_threads(chosen_threads() or torch.get_num_threads())
    weights = model_zoo.load("surrogate")
    pictures = _pictures(content, style, weights)
    runs: dict[str, Callable[[], None]] = {}
    errors, failed = {}, {}
    for name in variants:
        if (reason := refusal(TORCH[name].precision)) is not None:
            failed[name] = reason
            continue
        transfer = Transfer(methods, *pictures, weights, TORCH[name])
        try:
            errors[name] = compare(transfer, reference)
        except RuntimeError as error:  # torch.compile needs a C++ compiler
            failed[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            continue
        if not max(errors[name].values()) <= TORCH[name].tolerance:
            raise InputError(
                f"PyTorch ({name}) computes another {methods}: {errors[name]}, allowed {TORCH[name].tolerance:g}"
            )
        runs[name] = transfer.run_bare if methods == BARE else transfer.step
    name = turn({"errors": errors, "failed": failed})
    while True:
        began = perf_counter()
        runs[name]()
        name = turn(perf_counter() - began)


def compare(transfer: Transfer, path: str) -> dict[str, float]:
    """Relative differences from the evaluation in the file `path` (see ours.evaluation): of the worst term, and of the
    gradient, the mean absolute difference over the mean absolute gradient.

    Not the Euclidean norm: of 57 million rectifiers at 512 x 384 a few have an input of 0 but for rounding. They are
    open in one program and closed in the other and change the gradient in their whole receptive field: 0.11 % of the
    norm together in the bare network with channels_last, but 0.016 % of the absolute value.
    """
    with np.load(path) as theirs:
        names, there = [str(name) for name in theirs["names"]], {key: theirs[key] for key in theirs.files}
    own = list(transfer.aims) or names  # in PyTorch's order, which is its own affair
    if sorted(own) != sorted(names):
        raise InputError(f"PyTorch has the terms {own}, expected {names}")
    heads, expected = (there[key][[names.index(name) for name in own]] for key in ("heads", "terms"))
    drawn = {key: torch.from_numpy(each.astype(np.int64)) for key, each in there.items() if key.endswith("pairs")}
    transfer.heads = torch.from_numpy(heads.astype(np.float32))
    terms, gradient = transfer.evaluate(torch.from_numpy(there["x"]), drawn)
    apart = np.abs(terms.double().numpy() - expected) / np.abs(expected)
    difference = np.abs(gradient.numpy() - there["gradient"]).mean(dtype=np.float64)
    return {
        "terms": float(apart.max()),
        "gradient": float(difference / np.abs(there["gradient"]).mean(dtype=np.float64)),
    }


def memory(turn: Turn, methods: str, content: str, style: str) -> int:
    """Peak resident memory, in bytes, of a process that runs 3 eager iterations and nothing else."""
    torch.set_num_threads(chosen_threads() or torch.get_num_threads())
    weights = model_zoo.load("surrogate")
    transfer = Transfer(methods, *_pictures(content, style, weights), weights, TORCH["eager"])
    run = transfer.run_bare if methods == BARE else transfer.step
    for _ in range(3):
        run()
    return peak_rss()


def _pictures(content: str, style: str, weights: Any) -> tuple[np.ndarray, np.ndarray]:
    mean = weights.preprocessing.mean_rgb
    return preprocess(read_picture(content).pixels, mean), preprocess(read_picture(style).pixels, mean)
