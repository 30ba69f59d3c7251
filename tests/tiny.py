"""One recipe of every kind that trains in about a second; a kind without one fails the contract suite."""

from augury.classifiers import Classifier, SmallCNNClassifier
from augury.generators import CVAE, Blend, Generator, Repeat

TINY_GENERATORS: dict[str, Generator] = {
    "repeat": Repeat(),
    "blend": Blend(parents=3),
    "cvae": CVAE(hidden=(64,), latent=4, steps=200, batch=16, rate=3e-3),
}

TINY_CLASSIFIERS: dict[str, Classifier] = {
    "small_cnn": SmallCNNClassifier(steps=60, batch=16, width=4, rate=1e-2),
}
