"""Augury: will synthetic images help my classifier, which generator, and how many?

The public names are loaded when they are first used, so that `import augury` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ACGAN": "augury.generators",
    "Agreement": "augury.filters",
    "Augment": "augury.augment",
    "Augmenter": "augury.augmenter",
    "AuguryError": "augury.errors",
    "BAGAN": "augury.generators",
    "BackboneClassifier": "augury.classifiers",
    "Blend": "augury.generators",
    "CGAN": "augury.generators",
    "CGANConv": "augury.generators",
    "CVAE": "augury.generators",
    "CovidCNNClassifier": "augury.classifiers",
    "Curator": "augury.curation",
    "DAGAN": "augury.generators",
    "DCGAN": "augury.generators",
    "DeepAutoencoder": "augury.generators",
    "DenseGAN": "augury.generators",
    "Difficulty": "augury.filters",
    "Diffusion": "augury.generators",
    "Diverse": "augury.selections",
    "External": "augury.generators",
    "Flow": "augury.generators",
    "Game": "augury.generators.adversarial",
    "Handpicked": "augury.selections",
    "ImageSet": "augury.images",
    "InfoGAN": "augury.generators",
    "Latent": "augury.generators",
    "LesionCNNClassifier": "augury.classifiers",
    "Loss": "augury.losses",
    "NearCopy": "augury.filters",
    "Repeat": "augury.generators",
    "ResGAN": "augury.generators",
    "ResNet18Classifier": "augury.classifiers",
    "Run": "augury.training",
    "SmallCNNClassifier": "augury.classifiers",
    "SplitPlan": "augury.splits",
    "Study": "augury.study",
    "SuperResolution": "augury.generators",
    "Synthetic": "augury.mixing",
    "Typicality": "augury.filters",
    "WGANGP": "augury.generators",
    "audit": "augury.audit",
    "handover": "augury.handover",
    "images": "augury.images",
    "load_sampler": "augury.generators",
    "mix": "augury.mixing",
    "policy_from": "augury.policies",
    "printed": "augury.printed",
    "read": "augury.readers",
    "study": "augury.study",
}

__all__ = sorted([*_HOMES, "__version__"])

if TYPE_CHECKING:
    from augury import audit as audit
    from augury import handover as handover
    from augury import images as images
    from augury import printed as printed
    from augury import study as study
    from augury.augment import Augment as Augment
    from augury.augmenter import Augmenter as Augmenter
    from augury.classifiers import BackboneClassifier as BackboneClassifier
    from augury.classifiers import CovidCNNClassifier as CovidCNNClassifier
    from augury.classifiers import LesionCNNClassifier as LesionCNNClassifier
    from augury.classifiers import ResNet18Classifier as ResNet18Classifier
    from augury.classifiers import SmallCNNClassifier as SmallCNNClassifier
    from augury.curation import Curator as Curator
    from augury.errors import AuguryError as AuguryError
    from augury.filters import Agreement as Agreement
    from augury.filters import Difficulty as Difficulty
    from augury.filters import NearCopy as NearCopy
    from augury.filters import Typicality as Typicality
    from augury.generators import ACGAN as ACGAN
    from augury.generators import BAGAN as BAGAN
    from augury.generators import CGAN as CGAN
    from augury.generators import CVAE as CVAE
    from augury.generators import DAGAN as DAGAN
    from augury.generators import DCGAN as DCGAN
    from augury.generators import WGANGP as WGANGP
    from augury.generators import Blend as Blend
    from augury.generators import CGANConv as CGANConv
    from augury.generators import DeepAutoencoder as DeepAutoencoder
    from augury.generators import DenseGAN as DenseGAN
    from augury.generators import Diffusion as Diffusion
    from augury.generators import External as External
    from augury.generators import Flow as Flow
    from augury.generators import InfoGAN as InfoGAN
    from augury.generators import Latent as Latent
    from augury.generators import Repeat as Repeat
    from augury.generators import ResGAN as ResGAN
    from augury.generators import SuperResolution as SuperResolution
    from augury.generators import load_sampler as load_sampler
    from augury.generators.adversarial import Game as Game
    from augury.images import ImageSet as ImageSet
    from augury.losses import Loss as Loss
    from augury.mixing import Synthetic as Synthetic
    from augury.mixing import mix as mix
    from augury.policies import policy_from as policy_from
    from augury.readers import read as read
    from augury.selections import Diverse as Diverse
    from augury.selections import Handpicked as Handpicked
    from augury.splits import SplitPlan as SplitPlan
    from augury.study import Study as Study
    from augury.training import Run as Run


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'augury' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if _HOMES[name] == f"augury.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
