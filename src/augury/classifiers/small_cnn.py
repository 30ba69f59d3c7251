"""`small_cnn`: a four-layer network that trains in seconds on a CPU and is hard to beat on small sets."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from augury.classifiers.neural import NeuralClassifier
from augury.networks.small_cnn import SmallCNN


class SmallCNNClassifier(NeuralClassifier):
    """Four convolutions, AdamW, warm-up and cosine, averaged weights; 8 to 64 pixels.

    Example:
        >>> import augury
        >>> digits = augury.read("digits")
        >>> predictor = SmallCNNClassifier(steps=20, width=8).fit(digits.take(range(200)), None, augury.Run(seed=0))
        >>> predictor.predict(digits.take(range(200, 205))).shape
        (5, 10)
    """

    kind: ClassVar[str] = "small_cnn"
    summary: ClassVar[str] = "four convolutions, trained from scratch, 8 to 64 pixels"
    width: int = Field(default=32, ge=1, le=512, description="channels of the first layer")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="share of features dropped before the last layer")

    def build(self, shape: tuple[int, int, int], classes: int) -> SmallCNN:
        """Return the untrained network."""
        return SmallCNN(shape[0], shape[1:], classes, self.width, self.dropout)
