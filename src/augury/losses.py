"""What a classifier minimises, with remedies for imbalanced classes.

Every loss here is one formula with some of its parts switched on. With logits z and soft labels t of an image,

    p = softmax(scale * (z - t * margins) + offsets),
    loss of an image = - sum_k t_k c_k (1 - p_k)^gamma log p_k,
    loss of a batch  = sum_i w_i loss_i / sum_i w_i sum_k t_ik c_k,

where c are class weights and w weights of single images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor

from augury.errors import DataError
from augury.settings import Recipe, nearest

LossName = Literal[
    "cross_entropy", "weighted", "focal", "class_balanced", "ldam_drw", "balanced_softmax", "logit_adjusted"
]


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss that knows its classes: a function of logits and soft labels.

    Attributes:
        class_weights: float64 (K,), c in the formula above.
        offsets: float64 (K,), added to the logits.
        margins: float64 (K,), taken off the logits of an image's own classes.
        scale: Factor on the logits, before the offsets.
        gamma: Focusing exponent; 0 switches it off.
        deferred: Progress, 0 to 1, at which the class weights set in.
        smoothing: Share of each image's label that is spread evenly over all classes.

    Example:
        >>> objective = Loss(name="focal").objective(torch.tensor([90, 10]), torch.tensor([0.9, 0.1]))
        >>> logits, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> round(float(objective(logits, targets, torch.ones(1), progress=0.0)), 4)  # (1 - 1/2)^2 log 2
        0.1733
    """

    class_weights: Tensor
    offsets: Tensor
    margins: Tensor
    scale: float = 1.0
    gamma: float = 0.0
    deferred: float = 0.0
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor, progress: float) -> Tensor:
        """Compute the loss of a batch, in float32 or, if the logits are float64, in float64.

        Args:
            logits: (B, K), of any floating type.
            targets: (B, K) soft labels, 0 to 1, rows sum to 1; `F.one_hot(labels, K)` will do.
            weights: (B,) weights of the images, 0 or more; only their ratios matter.
            progress: Steps done / steps in all, 0 to 1.

        Returns:
            Scalar on the device of the logits; 0, with gradient 0, for a batch whose weights are all 0.

        Raises:
            DataError: If the shapes do not fit.
        """
        self._check(logits, targets, weights)
        z = logits.to(torch.promote_types(logits.dtype, torch.float32))  # bf16 has too few digits for a softmax
        t = (1 - self.smoothing) * targets.to(z) + self.smoothing / z.shape[1]
        log_p = (self.scale * (z - t * self.margins.to(z)) + self.offsets.to(z)).log_softmax(1)
        share = t * self.class_weights.to(z) if progress >= self.deferred else t
        focus = _unsureness(log_p) ** self.gamma if self.gamma > 0 else 1.0
        w = weights.to(z)
        total = (w * share.sum(1)).sum()
        return -(w * (share * focus * log_p).sum(1)).sum() / torch.where(total > 0, total, 1.0)

    def _check(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        expected = (len(weights), len(self.class_weights))
        if weights.ndim != 1 or logits.shape != expected or targets.shape != expected:
            raise DataError(
                f"a loss of {expected[1]} classes expects logits (B, {expected[1]}), targets (B, {expected[1]}) and "
                f"weights (B,). Got {tuple(logits.shape)}, {tuple(targets.shape)} and {tuple(weights.shape)}: "
                "labels become targets by torch.nn.functional.one_hot."
            )


class Loss(Recipe):
    """The loss of a classifier, by name.

    Classes without a single image (or never shown) stay finite: they have class weight 0, and the margin and
    the log share of the rarest class that has images, so that the other classes' images still push them down.

    `balanced_softmax` is `logit_adjusted` at tau = 1.

    Reference:
        focal: Lin et al. 2017 (arXiv 1708.02002), eq. 4. class_balanced: Cui et al. 2019 (arXiv 1901.05555),
        eq. 2 and 3.4. ldam_drw: Cao et al. 2019 (arXiv 1906.07413), eq. 12, 13 and algorithm 1.
        balanced_softmax: Ren et al. 2020 (arXiv 2007.10740), eq. 3. logit_adjusted: Menon et al. 2021
        (arXiv 2007.07314), eq. 10. smoothing: Szegedy et al. 2016 (arXiv 1512.00567), section 7.

    Example:
        >>> objective = Loss(name="balanced_softmax").objective(torch.tensor([90, 10]), torch.tensor([0.9, 0.1]))
        >>> logits, targets = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])
        >>> round(float(objective(logits, targets, torch.ones(1), progress=0.0)), 4)  # - log 0.1
        2.3026
    """

    kind: ClassVar[str] = "loss"
    name: LossName = Field(default="cross_entropy", description=f"one of: {', '.join(get_args(LossName))}")
    gamma: float = Field(default=2.0, ge=0, le=10, description="focal: how much less sure images count; 0: all alike")
    beta: float = Field(
        default=0.999, ge=0, lt=1, description="class_balanced, ldam_drw: 0 weighs classes alike, near 1 by 1 / images"
    )
    tau: float = Field(default=1.0, ge=0, le=10, description="logit_adjusted: factor on the log shares of the classes")
    margin: float = Field(default=0.5, ge=0, le=100, description="ldam_drw: margin of the rarest class, in logits")
    # The paper's 30 is for logits that are cosines, -1 to 1. Those of a plain linear layer have no bound and
    # find their own scale; times 30, every step would move them 30 times as far. For larger margins, raise `margin`.
    scale: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="ldam_drw: factor on the logits; 30 in the paper, whose logits are cosines",
    )
    deferred: float = Field(
        default=0.8, ge=0, le=1, description="ldam_drw: share of the steps after which class weights set in"
    )
    smoothing: float = Field(default=0.0, ge=0, lt=1, description="share of each label spread over all classes")

    @field_validator("name", mode="before")
    @classmethod
    def _known(cls, name: Any) -> Any:
        known = list(get_args(LossName))
        if isinstance(name, str) and name not in known:
            raise ValueError(f"there is no loss {name!r}{nearest(name, known)}")
        return name

    @property
    def evens_out(self) -> bool:
        """Tell whether it makes up for classes that are shown less often than others."""
        return self.name not in ("cross_entropy", "focal")

    def objective(self, counts: Tensor, shares: Tensor) -> Objective:
        """Return the loss for training images of which there are so many.

        Args:
            counts: (K,) training images of each class, generated ones included if they are trained on.
            shares: (K,) how often each class is shown, which is not counts / sum when batches are balanced;
                only the ratios matter.

        Raises:
            DataError: If the two differ in shape, or hold a negative or infinite number or no positive one.
        """
        counts, shares = _checked("counts", counts), _checked("shares", shares)
        if counts.shape != shares.shape:
            raise DataError(f"counts and shares expect one number per class. Got {len(counts)} and {len(shares)}.")
        none = torch.zeros_like(counts)
        plain = Objective(none + 1, offsets=none, margins=none, smoothing=self.smoothing)
        match self.name:
            case "weighted":
                return replace(plain, class_weights=_inverse(shares))
            case "focal":
                return replace(plain, gamma=self.gamma)
            case "class_balanced":
                return replace(plain, class_weights=_inverse(_effective(counts, self.beta)))
            case "ldam_drw":
                return self._ldam_drw(plain, counts)
            case "balanced_softmax" | "logit_adjusted":
                tau = self.tau if self.name == "logit_adjusted" else 1.0
                return replace(plain, offsets=tau * _at_least_rarest(shares).log())
        return plain

    def _ldam_drw(self, plain: Objective, counts: Tensor) -> Objective:
        size = _at_least_rarest(counts) ** -0.25
        return replace(
            plain,
            class_weights=_inverse(_effective(counts, self.beta)),
            margins=self.margin * size / size.max(),
            scale=self.scale,
            deferred=self.deferred,
        )


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


LossSetting = Annotated[Loss, BeforeValidator(_named)]
"""A field that takes a `Loss`, a table of its settings, or its name alone: `loss = "focal"`."""


def _checked(name: str, numbers: Tensor) -> Tensor:
    numbers = numbers.double()
    if numbers.ndim != 1 or not (numbers.isfinite() & (numbers >= 0)).all() or not (numbers > 0).any():
        raise DataError(
            f"{name} expects a number of 0 or more for each class, not all of them 0. Got {numbers.tolist()}: "
            "check the labels of the training images."
        )
    return numbers


def _at_least_rarest(numbers: Tensor) -> Tensor:
    """Put the smallest positive number in place of every 0."""
    return torch.where(numbers > 0, numbers, numbers[numbers > 0].min())


def _inverse(numbers: Tensor) -> Tensor:
    """Return weights in proportion to 1 / number that sum to K; 0 where the number is 0."""
    weights = torch.where(numbers > 0, 1 / _at_least_rarest(numbers), 0.0)
    return weights * len(weights) / weights.sum()


def _effective(counts: Tensor, beta: float) -> Tensor:
    """Return the effective number of images, (1 - beta^n) / (1 - beta); 0 where there are none."""
    return (1 - torch.tensor(beta, dtype=torch.float64, device=counts.device) ** counts) / (1 - beta)


def _unsureness(log_p: Tensor) -> Tensor:
    """Return 1 - p, never quite 0: powers below 1 have an infinite slope there, and infinity times 0 is NaN."""
    return (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
