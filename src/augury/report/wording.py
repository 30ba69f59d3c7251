"""What the page calls the two sides of its one comparison: with and without generated images, or chosen and real."""

from __future__ import annotations

from dataclasses import dataclass

from augury.verdict import PLAIN, RIVAL, WITH, WITHOUT


@dataclass(frozen=True)
class Wording:
    """The page's words for the comparison that a study makes.

    Attributes:
        question: What the study asks about a classifier; the classifier and the data are filled in.
        one: The first side, in a sentence.
        other: The second side, in a sentence.
        brief: Both sides, for a chart.
        lower: The left end of an axis of differences.
        chosen_one: Heading of the arms chosen as the first side.
        score_one: Heading of their score.
        score_other: Heading of the second side's score.
        role_one: What the arm most often chosen as the first side is called.
        role_other: Likewise, of the second side.
        choosing: What the inner part does in every split.
        none_chosen: What is said when nothing but real images was chosen as the first side.
        prior: What is known beforehand; empty where nothing is to be said.
    """

    question: str
    one: str
    other: str
    brief: str
    lower: str
    chosen_one: str
    score_one: str
    score_other: str
    role_one: str
    role_other: str
    choosing: str
    none_chosen: str
    prior: str


GENERATED = Wording(
    question="Do generated images help",
    one=WITH,
    other=WITHOUT,
    brief="with - without",
    lower="generated images score lower",
    chosen_one="Chosen with generated images",
    score_one="best arm with",
    score_other="best arm without",
    role_one="most often chosen with generated images",
    role_other="most often chosen without generated images",
    choosing="the best arm with and the best arm without generated images",
    none_chosen="No arm with generated images was chosen.",
    prior="Prior expectation: gains on images of the same distribution are not the norm. A review of GANs for skin "
    "lesions found gains on out-of-distribution tests only (Bissoto 2021, arXiv 2104.10603); on COVID chest X-rays, "
    "StyleGAN2-ADA stayed below classical augmentation and class balancing (arXiv 2304.09067).",
)
PLAIN_IMAGES = Wording(
    question="Does a treatment of the real images, without generated ones, help",
    one=RIVAL,
    other=PLAIN,
    brief="chosen - real only",
    lower="the chosen arm scores lower",
    chosen_one="Chosen on the inner part",
    score_one="arm chosen on the inner part",
    score_other="real images only",
    role_one="most often chosen on the inner part",
    role_other="real images only",
    choosing="one arm, real images only among them",
    none_chosen="No arm beside real images only was chosen.",
    prior="",
)


def wording(generated: bool) -> Wording:
    """Return the words for a study with generated images, or without.

    >>> wording(False).other
    'real images only'
    """
    return GENERATED if generated else PLAIN_IMAGES
