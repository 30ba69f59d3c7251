import pytest
import torch

from augury.generators.acgan import ACGAN
from augury.mixing import Uniform
from augury.seeds import guarded
from augury.training import Run, learn
from toy import toy_images

OUTPUTS = torch.tensor([[9.0, 0.0, 0.0], [-9.0, 2.0, 2.0]])  # a score, and no opinion on the class
LABELS = torch.tensor([0, 1])


def learner_for(train, seed=0, **settings):
    recipe = ACGAN(batch=16, width=8, latent=4, **settings)
    with guarded(seed):
        return recipe.learner(train, Run(seed))


@pytest.mark.parametrize("auxiliary", [1.0, 0.5])
def test_the_class_terms_are_the_weighted_log_likelihood_of_the_paper(auxiliary):
    learner = learner_for(toy_images(), auxiliary=auxiliary)
    draw = Uniform(toy_images(), seed=0).at(0)
    batch = draw(2)
    batch.labels.copy_(LABELS)
    sure = torch.tensor([[0.0, 30.0, -30.0], [0.0, 30.0, -30.0]])  # right once, wrong once: nothing and 60
    drawn = learner.draw(LABELS, batch)
    losses = learner.discriminator_extra(sure, OUTPUTS, batch, drawn)
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(
        {"class of real": auxiliary * 30, "class of generated": auxiliary * 0.693147}
    )
    assert float(learner.generator_extra(OUTPUTS, drawn)["class"]) == pytest.approx(auxiliary * 0.693147)


def test_the_discriminator_names_the_class_and_is_never_told_it():
    train = toy_images()
    learner = learner_for(train, rate=1e-2)
    learn(learner, Uniform(train, seed=0), steps=60, run=Run(seed=0))
    images = Uniform(train, seed=1).at(0)(len(train))
    with torch.no_grad():
        told, misled = (learner.discriminator(images.images, labels) for labels in (images.labels, 0 * images.labels))
    assert torch.equal(told, misled)
    assert (told[:, 1:].argmax(1) == images.labels).float().mean() > 0.9


def test_the_generator_obeys_only_where_the_class_counts():
    train, right = toy_images(), {}
    for auxiliary in (0.0, 1.0):
        learner = learner_for(train, rate=1e-2, auxiliary=auxiliary)
        losses = learn(learner, Uniform(train, seed=0), steps=60, run=Run(seed=0))
        right[auxiliary] = losses["generator: class"][-1], losses["class of real"][-1]
    assert right[0.0] == (0.0, 0.0)
    assert max(right[1.0]) < 0.4
