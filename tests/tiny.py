"""Recipes that train in about a second: one of every generator, some of every classifier, each under its own name."""

import atexit
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from augury.augment import Augment
from augury.classifiers import (
    BackboneClassifier,
    Classifier,
    CovidCNNClassifier,
    LesionCNNClassifier,
    ResNet18Classifier,
    SmallCNNClassifier,
)
from augury.generators import (
    ACGAN,
    BAGAN,
    CGAN,
    CVAE,
    DAGAN,
    DCGAN,
    WGANGP,
    Blend,
    CGANConv,
    DeepAutoencoder,
    DenseGAN,
    Diffusion,
    External,
    Flow,
    Generator,
    InfoGAN,
    Latent,
    Repeat,
    ResGAN,
    SuperResolution,
)
from augury.generators.adversarial import Game
from augury.images import ImageSet
from augury.losses import Loss
from augury.mixing import Synthetic
from toy import toy_images

ELSEWHERE = TemporaryDirectory(prefix="augury-tests-")
atexit.register(ELSEWHERE.cleanup)


def made_elsewhere(classes: int = 2, channels: int = 1, size: tuple[int, int] = (8, 8)) -> External:
    """Return a recipe of images that look like `toy_images` and are none of them."""
    images = toy_images(classes, channels, size, seed=1)
    path = Path(ELSEWHERE.name) / f"{classes}-{channels}-{size[0]}x{size[1]}.npz"
    pixels = images.images.permute(0, 2, 3, 1).squeeze(3).numpy()
    np.savez(path, images=pixels, labels=images.labels.numpy(), classes=images.classes)
    return External(source=str(path))


DENOISER: dict[str, Any] = {"steps": 300, "batch": 16, "size": "tiny", "rate": 4e-3, "average": 0.9}
DENOISER |= {"dropout": 0.0, "snapshots": 0}

TINY_GENERATORS: dict[str, Generator] = {
    "repeat": Repeat(),
    "blend": Blend(parents=3),
    "cvae": CVAE(hidden=(64,), latent=4, steps=200, batch=16, rate=3e-3),
    "cvae, conv": CVAE(form="conv", width=8, latent=4, steps=150, batch=16, rate=3e-3),
    "autoencoder": DeepAutoencoder(hidden=(64,), latent=8, steps=150, batch=16, rate=3e-3),
    "autoencoder, conv": DeepAutoencoder(form="conv", width=8, latent=8, noise=0.2, steps=100, batch=16, rate=3e-3),
    "cgan": CGAN(hidden=(64,), latent=8, steps=400, batch=32, rate=3e-3, game=Game(r1=0.1, beta1=0.0)),
    "dcgan": DCGAN(steps=100, batch=16, width=8, latent=8, rate=2e-3, average=0.9),
    "dcgan, conditional": DCGAN(conditional=True, steps=160, batch=16, width=8, latent=8, rate=2e-3, average=0.9),
    "wgan_gp": WGANGP(
        steps=150,
        batch=16,
        width=8,
        latent=4,
        rate=1e-2,
        average=0.9,
        game=Game(loss="wasserstein", gradient_penalty=1.0, beta1=0.0, beta2=0.9),
    ),
    "acgan": ACGAN(
        steps=300,
        batch=16,
        width=8,
        latent=2,
        rate=1e-2,
        average=0.95,
        game=Game(loss="wasserstein", gradient_penalty=1.0, beta1=0.0, beta2=0.9),
    ),
    "superres": SuperResolution(
        generator=CVAE(hidden=(64,), latent=4, steps=200, batch=16, rate=3e-3), steps=40, batch=8, width=4, blocks=1
    ),
    "superres, bicubic": SuperResolution(
        generator=CVAE(hidden=(64,), latent=4, steps=200, batch=16, rate=3e-3), method="bicubic"
    ),
    "dense_gan": DenseGAN(
        steps=80,
        batch=16,
        width=8,
        latent=8,
        rate=1e-3,
        rate_discriminator=2e-3,
        average=0.95,
        dropout=0.1,
        game={"beta1": 0.0},
    ),
    "cgan_conv": CGANConv(steps=160, batch=16, width=8, latent=8, rate=2e-3, average=0.9),
    "infogan": InfoGAN(
        steps=80, batch=16, width=8, latent=8, discrete=3, rate=2e-3, rate_discriminator=2e-3, average=0.8
    ),
    "bagan": BAGAN(pretrain=80, pretrain_rate=3e-3, steps=40, batch=16, width=8, latent=8, rate=1e-3, average=0.9),
    "bagan, gradient penalty": BAGAN(
        pretrain=80,
        pretrain_rate=3e-3,
        steps=20,
        batch=16,
        width=8,
        latent=8,
        rate=1e-3,
        average=0.9,
        game=Game(loss="wasserstein", gradient_penalty=10.0, critic_steps=2, beta1=0.0, beta2=0.9),
    ),
    "dagan": DAGAN(steps=40, batch=16, width=8, critic_width=8, latent=8, rate=2e-3, average=0.9),
    "external": made_elsewhere(),
    "resgan": ResGAN(
        steps=300,
        batch=16,
        width=8,
        latent=4,
        rate=3e-3,
        rate_discriminator=3e-3,
        average=0.9,
        game=Game(loss="hinge", r1=1.0, lecam=0.02, beta1=0.0, beta2=0.9),
    ),
    "diffusion": Diffusion(
        augment=(),
        sampling="balanced",
        drawing_steps=6,
        noise_mean=0.5,
        guidance=1.0,
        **DENOISER,
    ),
    "latent": Latent(
        pretrain=100,
        width=16,
        augment=(),
        sampling="balanced",
        drawing_steps=4,
        guidance=1.0,
        **DENOISER,
    ),
    "flow": Flow(
        augment=("shift",),
        feedback=0.5,
        drawing_steps=4,
        guidance=2.0,
        sampling="root",
        reflow=20,
        time_location=0.0,
        pairs=32,
        **DENOISER,
    ),
}


def fitting(recipe: Generator, train: ImageSet) -> Generator:
    """Return a recipe for toy images of other classes or another shape: images made elsewhere have to be of both."""
    if not isinstance(recipe, External):
        return recipe
    C, H, W = train.shape
    return made_elsewhere(len(train.classes), C, (H, W))


def shortened(recipe: Generator) -> Generator:
    """Return a recipe with so few steps that it learns nothing, for tests of everything else."""
    if isinstance(recipe, SuperResolution):  # half of all its steps fall into its second phase
        return recipe.replace(generator=shortened(recipe.generator), steps=8)
    return recipe.replace(**{name: 6 for name in ("steps", "pretrain", "reflow") if name in recipe.settings()})


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
