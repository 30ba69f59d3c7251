import pytest

from augury.errors import DataError
from augury.generators import Blend, Repeat, load_sampler
from augury.training import Run
from tiny import TINY_GENERATORS
from toy import toy_images


@pytest.mark.parametrize("recipe", [Repeat(), Blend()])
def test_copies_of_a_class_without_training_images_are_refused(recipe):
    sampler = recipe.fit(toy_images(per_class=(4, 0)), Run(seed=0))
    with pytest.raises(DataError, match="class without training images"):
        sampler.draw({"class 1": 1}, seed=0)


def test_damaged_weights_are_a_sentence(tmp_path):
    TINY_GENERATORS["cvae"].fit(toy_images(), Run(seed=0)).save(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"not weights")
    with pytest.raises(DataError, match="missing or damaged"):
        load_sampler(tmp_path)
