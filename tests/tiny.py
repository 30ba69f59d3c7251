"""Recipes that train in about a second: one of every generator, some of every classifier, each under its own name."""

from augury.augment import Augment
from augury.classifiers import (
    BackboneClassifier,
    Classifier,
    CovidCNNClassifier,
    LesionCNNClassifier,
    ResNet18Classifier,
    SmallCNNClassifier,
)
from augury.generators import CVAE, Blend, Generator, Repeat
from augury.losses import Loss
from augury.mixing import Synthetic

TINY_GENERATORS: dict[str, Generator] = {
    "repeat": Repeat(),
    "blend": Blend(parents=3),
    "cvae": CVAE(hidden=(64,), latent=4, steps=200, batch=16, rate=3e-3),
}

TINY_CLASSIFIERS: dict[str, Classifier] = {
    "small_cnn": SmallCNNClassifier(steps=60, batch=16, width=4, rate=1e-2),
    "small_cnn, all rivals at once": SmallCNNClassifier(
        steps=90,
        batch=16,
        width=4,
        rate=1e-2,
        loss="balanced_softmax",
        sampling="balanced",
        mixup=0.2,
        cutmix=0.2,
        augment=Augment(shift=0.1, five_crop=0.9, trivial=True),
    ),
    "small_cnn, synthetic images count less": SmallCNNClassifier(
        steps=60,
        batch=16,
        width=4,
        rate=1e-2,
        loss=Loss(name="focal", gamma=1.0, smoothing=0.05),
        synthetic=Synthetic(weight=0.5, smoothing=0.1),
    ),
    "covid_cnn": CovidCNNClassifier(steps=40, batch=16, rate=1e-2),
    "lesion_cnn": LesionCNNClassifier(steps=60, batch=16, rate=3e-3, dropout=0.1),
    "resnet18": ResNet18Classifier(steps=6, batch=4, rate=1e-2, average=0.5),
    "backbone": BackboneClassifier(network="resnet18", weights="none", steps=80, batch=16, rate=1e-2),
    "backbone, views": BackboneClassifier(
        network="squeezenet1_1",
        weights="none",
        views=3,
        augment=Augment(shift=0.1, five_crop=0.9),
        dense=(16,),
        steps=80,
        batch=16,
        rate=1e-2,
    ),
    "backbone, last": BackboneClassifier(
        network="resnet18",
        weights="none",
        train="last",
        blocks=1,
        dense=(16,),
        steps=8,
        batch=8,
        rate=3e-3,
        average=0.5,
    ),
    "backbone, all": BackboneClassifier(
        network="squeezenet1_1", weights="none", train="all", steps=24, batch=8, rate=3e-4, average=0.5
    ),
}

# with batch norm in eleven million weights: its running means have to follow before anything can be predicted
STEPS_TO_LEARN = {"resnet18": 60}
