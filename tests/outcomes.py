"""Outcomes and galleries made up from a seed, for tests of what shows them."""

import html
import math
import re
from dataclasses import replace

import numpy as np

from augury.audit import Controls, CopyingInSpace, Decision, PairDiversity, SpaceFidelity
from augury.metrics import reliability
from augury.one_test_set import PatientBootstrap, delong, mcnemar
from augury.statistics import Interval, holm, nadeau_bengio, wilson
from augury.study.audit_outcome import Audited, AuditedMaker, Predicted
from augury.study.clinic_outcome import Clinic, ClinicArm, OneTestSet, Operating, Subgroup, Subgroups
from augury.study.doses import dose_readings
from augury.study.exhibit import (
    ClassGallery,
    ClosePairs,
    Closest,
    Curve,
    Gallery,
    Sifted,
    SiftedClass,
    Training,
    Traversal,
)
from augury.study.outcome import (
    ArmResult,
    ClassResult,
    Contrast,
    Curation,
    DataSummary,
    Diversity,
    Gate,
    GeneratorResult,
    Outcome,
    PlanSummary,
)
from augury.study.watching import DISTANCE
from augury.tipping import tipping_points
from augury.verdict import PLAIN, RIVAL, Evidence, decide

METRICS = ("auroc", "balanced_accuracy", "accuracy", "macro_f1", "mcc", "log_loss", "brier", "ece")
LABELS = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}
SPLITS, RATIO, ROPE = 25, 0.25, 0.01
GAINS = {  # arm -> (gain over real images only, generator, policy, images added)
    "real": (0.0, None, None, 0),
    "balanced": (0.011, None, None, 0),
    "classical": (0.014, None, None, 0),
    "copies · balance": (0.010, "copies", "balance", 160),
    "cvae · ratio 0.5": (0.022, "cvae", "ratio 0.5", 150),
    "cvae · balance": (0.045, "cvae", "balance", 160),
    "cvae · ratio 1": (0.047, "cvae", "ratio 1", 300),
    "cvae · ratio 2": (0.028, "cvae", "ratio 2", 600),
}
CHOSEN = {"cvae · balance": 14, "cvae · ratio 1": 11, "classical": 16, "balanced": 9}


def outcome(classes: tuple[str, ...] = ("benign", "malignant"), *, gain: float = 0.035, **changes) -> Outcome:
    """Return a finished study: 8 arms, one classifier; `changes` replace fields."""
    metric = "auroc" if len(classes) == 2 else "balanced_accuracy"
    counts = tuple(40 + 120 * (index == 0) for index in range(len(classes)))
    made = Outcome(
        title="Moles at one hospital",
        version="0.1.0",
        metric=metric,
        metric_label=LABELS[metric],
        rope=ROPE,
        positive=classes[1] if len(classes) == 2 else "",
        data=DataSummary(
            "moles", sum(counts), classes, counts, (3, 28, 28), 90, True, sum(counts), counts, (("a/1", "b/7"),), (), 1
        ),
        plan=PlanSummary("folds", 5, 5, 1, 120.0, 40.0, 40.0, RATIO),
        contrasts=(contrast(LABELS[metric], gain),),
        arms=arms(classes, metric),
        generators=(
            GeneratorResult("copies", "repeat", {}, True, True, 0),
            GeneratorResult("cvae", "cvae", {"latent": 16, "steps": 400}, False, False, 21_340, **collapsed(classes)),
        ),
        gates=(
            Gate("leakage", True, "no scored image was seen in training"),
            Gate("copycat", True, "copies - oversampling at equal exposure: P(beyond 0.010) = 0.214"),
            Gate("copying", None, "no held-out images of other groups to compare with"),
        ),
        flaws=(),
        budget="every arm: 300 steps x 64 images; settings fixed beforehand, no tuning",
        failures=(),
        cells_failed=0,
        cells=len(GAINS) * SPLITS,
        settings='title = "Moles at one hospital"\nrope = 0.01\n\n[data]\nsource = "moles"\n',
        environment={"python": "3.11.9", "torch": "2.7.0", "device": "cpu, 1 thread per step"},
        clinics=(clinic(two=len(classes) == 2),),
    )
    return replace(made, **changes)


def contrast(label: str, gain: float, **evidence) -> Contrast:
    """Return the primary contrast of a study whose splits scatter around `gain`."""
    spread = np.random.default_rng(7).normal(0, 0.02, SPLITS)
    differences = tuple((spread - spread.mean() + gain).tolist())
    found = Evidence(label, differences, RATIO, ROPE, groups=90, **evidence)
    using = {name: CHOSEN[name] for name in ("cvae · balance", "cvae · ratio 1")}
    without = {name: CHOSEN[name] for name in ("classical", "balanced")}
    pipeline = nadeau_bengio([0.8 * value for value in differences], RATIO)
    interval = nadeau_bengio(differences, RATIO)
    return Contrast(
        "small_cnn",
        differences,
        interval,
        None,
        using,
        without,
        0.846,
        0.846 - gain,
        pipeline,
        0.64,
        decide(found),
        tipping=tipping_points(found),
    )


def arms(classes: tuple[str, ...], metric: str) -> tuple[ArmResult, ...]:
    """Return the rows of the arms table."""
    spread = np.random.default_rng(11)
    differences = {
        name: None if name == "real" else nadeau_bengio(spread.normal(gain, 0.025, SPLITS).tolist(), RATIO)
        for name, (gain, *_) in GAINS.items()
    }
    known = [name for name, interval in differences.items() if interval]
    adjusted = dict(zip(known, holm([differences[name].p_value for name in known]), strict=True))
    return tuple(_arm(name, row, differences[name], adjusted.get(name), classes, metric) for name, row in GAINS.items())


def _arm(name, row, difference: Interval | None, p_holm, classes, metric) -> ArmResult:
    _, generator, policy, added = row
    gain = difference.mean if difference else 0.0
    scores = {key: 0.78 + gain - 0.03 * index for index, key in enumerate(METRICS)}
    scores |= {metric: 0.80 + gain, "log_loss": 0.52 - gain, "mcc": math.nan if name == "balanced" else 0.5 + gain}
    total = 40 * len(classes) + 120
    return ArmResult(
        classifier="small_cnn",
        arm=name,
        generator=generator,
        policy=policy,
        uses_generated=generator == "cvae",
        added=float(added),
        dose=added / total,
        share=min(0.5, added / (added + total)),
        steps=300,
        batch=64,
        real_exposures=19_200 * (1 - min(0.5, added / (added + total))),
        splits=SPLITS,
        failed=0,
        scores=scores,
        difference=difference,
        p_holm=p_holm,
        chosen=CHOSEN.get(name, 0) / SPLITS,
        classes=tuple(_class(index, label, difference) for index, label in enumerate(classes)),
        confusion=_confusion(len(classes), gain),
        sensitivity=0.74 + gain if len(classes) == 2 else None,
        specificity=0.90 - gain / 2 if len(classes) == 2 else None,
    )


def _class(index: int, name: str, difference: Interval | None) -> ClassResult:
    change = None
    if difference:
        mean = difference.mean * (1.5, -0.9, 0.4)[index % 3]
        change = Interval(mean, mean - 0.025, mean + 0.025, 0.012, 0.02, SPLITS, 0.04)
    recall = 0.9 - 0.04 * index + (change.mean if change else 0.0)
    return ClassResult(name, 0.81, recall, 0.80, 200 if index else 800, change, wilson(round(40 * recall), 40))


def rivals_only(**changes) -> Outcome:
    """Return a finished study without generated images: its chosen arm against real images only."""
    made = outcome()
    kept = ("real", "balanced", "classical")
    rows = tuple(replace(arm, sensitivity_row=arm.arm == "balanced") for arm in made.arms if arm.arm in kept)
    one = contrast("AUROC", 0.03, one=RIVAL, other=PLAIN)
    one = replace(one, using={"classical": 20, "real": 5}, without={"real": 25}, generated=False, pipeline=one.interval)
    clinics = (replace(made.clinics[0], arms=made.clinics[0].arms[:2], test_sets=(), subgroups=()),)
    return replace(made, contrasts=(one,), arms=rows, generators=(), gates=(), clinics=clinics, **changes)


def clinic(*, two: bool) -> Clinic:
    """Return what a clinician asks: operating points of two classes only."""
    shown = ("real", "classical", "cvae · balance")
    rows = (("f", 61, (0.81, 0.83, 0.85)), ("not given", 4, (None, None, None)))
    return Clinic(
        classifier="small_cnn",
        arms=tuple(_clinic_arm(name, index, two) for index, name in enumerate(shown)),
        prevalence=0.2 if two else None,
        test_sets=(_test_set(two),),
        subgroups=(Subgroups("sex", shown, tuple(Subgroup(v, n, n // 2, scores) for v, n, scores in rows)),),
    )


def _clinic_arm(name: str, index: int, two: bool) -> ClinicArm:
    rng = np.random.default_rng(index)
    sure = rng.uniform(0.5, 1, 200)
    right = rng.random(200) < sure - 0.1
    change = Interval(0.02, -0.01, 0.05, 0.01, 0.02, SPLITS, 0.2) if index else None
    points = tuple(Operating(target, 0.71 - target / 9, target - 0.013, change) for target in (0.9, 0.95))
    return ClinicArm(
        arm=name,
        points=points if two else (),
        average_precision=0.613 if two else None,
        recalibrated={"log_loss": 0.391, "brier": 0.247, "ece": 0.052},
        even_balanced_accuracy=0.803,
        reliability=reliability(sure, right, bins=8),
        reliability_recalibrated=reliability(0.9 * sure, right, bins=8),
    )


def _test_set(two: bool) -> OneTestSet:
    rng = np.random.default_rng(5)
    labels = np.arange(80) % 2
    a, b = (labels + rng.normal(0, 1, 80) for _ in "ab")
    return OneTestSet(
        part="test" if two else "rest",
        images=80,
        groups=41,
        one="cvae · balance",
        other="classical",
        one_score=0.84,
        other_score=0.81,
        auroc=delong(labels, a, b) if two else None,
        mcnemar=mcnemar(labels, (a > 0.5).astype(int), (b > 0.5).astype(int)),
        bootstrap=PatientBootstrap(0.03, -0.021, 0.077) if two else None,
        reasons=() if two else ("no bootstrap over groups: every class must have images of 2 or more groups.",),
    )


def _confusion(size: int, gain: float) -> tuple[tuple[int, ...], ...]:
    hits = 150 + round(500 * gain)
    return tuple(
        tuple((4 if row == 0 else 1) * (hits if row == column else 20) for column in range(size)) for row in range(size)
    )


def collapsed(classes: tuple[str, ...]) -> dict:
    """Return what the detector says of a generator whose last class has collapsed in 3 of 5 splits."""
    rows = [Diversity(name, 5, 0, 64.0, 50.0, 0.913, 0.874, 0.882, 0.791) for name in classes[:-1]]
    rows.append(Diversity(classes[-1], 5, 3, 24.5, 50.0, 0.412, 0.083, None, None))
    sentence = f"class '{classes[-1]}': the drawn images vary less than half as much as real ones (spread 0.08 of real)"
    return {"looked": 5, "collapsed": 3, "diversity": tuple(rows), "findings": (sentence,)}


def galleries(classes: tuple[str, ...] = ("benign", "malignant"), *, side: int = 28, shown: int = 8):
    """Return the galleries of both generators: gradients as real images, noisy ones as drawn images."""
    return (_gallery("copies", classes, side, shown, copies=True), _gallery("cvae", classes, side, shown, copies=False))


def _gallery(name: str, classes: tuple[str, ...], side: int, shown: int, *, copies: bool) -> Gallery:
    rng = np.random.default_rng([3, copies])
    items = []
    for index, label in enumerate(classes):
        real = np.stack([blob(side, index, seed) for seed in range(shown)])
        noise = rng.normal(0, 0 if copies else 14, real.shape)
        drawn = np.clip(real + noise, 0, 255).astype(np.uint8)
        distances = np.sqrt(((drawn.astype(float) - real) ** 2).mean(axis=(1, 2, 3)))
        items.append(ClassGallery(label, real, drawn, real, distances, 13.9))
    return Gallery(name, copies, tuple(items), None if copies else training(classes, side))


def training(classes: tuple[str, ...], side: int) -> Training:
    """Return what was seen of a training: two rows of images that come out of noise, two players, three networks."""
    rng = np.random.default_rng(13)
    done = np.arange(50) / 50
    losses = {"discriminator": 1.4 - 0.6 * done, "generator": 0.7 + done**2, "discriminator right": 0.5 + 0.4 * done}
    clean, noise = np.stack([blob(side, i % 2, i) for i in range(2)]), rng.integers(0, 256, (2, 3, side, side))
    frames = {
        steps: (share * clean + (1 - share) * noise).astype(np.uint8)
        for steps, share in {0: 0.0, 40: 0.1, 400: 1.0}.items()
    }
    grid = np.stack([[blob(side, row, column) for column in range(5)] for row in range(4)])
    return Training(
        steps=400,
        losses={name: Curve(0, 400, tuple(curve.tolist())) for name, curve in losses.items()},
        frames=frames,
        rows=(classes[0], classes[-1]),
        measured={DISTANCE: {100: 0.0431, 200: 0.0123, 400: 0.0342}},
        chosen=200,
        traversals=tuple(Traversal(classes[0], code, grid) for code in ("discrete", "continuous 1")),
    )


def blob(side: int, label: int, seed: int) -> np.ndarray:
    """Return a spot on skin: uint8 (3, side, side)."""
    rng = np.random.default_rng([label, seed])
    across, down = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    x, y, width = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(0.25, 0.5)
    spot = np.exp(-((((across - x) ** 2 + (1 + label) * (down - y) ** 2) / width**2) ** 2))
    skin, mole = np.array([224, 180, 160]), np.array([96 - 30 * (label % 3), 56, 44])
    image = skin[:, None, None] * (1 - spot) + mole[:, None, None] * spot + rng.normal(0, 4, (3, side, side))
    return np.clip(image, 0, 255).astype(np.uint8)


def words_of(page: str) -> str:
    """Return what a page says, without its pictures, charts and settings."""
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<pre>.*?</pre>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).replace("( ", "(").replace(" )", ")")


def pictures_of(page: str) -> list[str]:
    """Return the pictures of a page, as they are written there."""
    return re.findall(r"data:image/png;base64,[A-Za-z0-9+/=]+", page)


NAN = math.nan
RULES = ("agreement", "near_copy")
DECISIONS = {
    "green": Decision("cvae, near_copy", "green", 0.62, "pixels", 3, 4.1, 0.021, 5, weakest=("malignant", 0.084)),
    "red": Decision("cvae", "red", 0.0004, "judge", 61, 4.1, 0.021, 5),
    "void": Decision("cvae", "void", 1.0, "pixels", 3, 4.1, None, 5),
}


def audited_outcome(classes: tuple[str, ...] = ("benign", "malignant"), **changes) -> Outcome:
    """Return an outcome whose cvae is red and withheld, green behind a filter, with a handpicked arm, all read."""
    made = outcome(classes)
    reason = DECISIONS["red"].sentence
    rows = [replace(arm, withheld=reason if arm.uses_generated else "") for arm in made.arms]
    ratio = rows[-2]
    rows.append(replace(ratio, arm="cvae, sifted · ratio 1", added=210.0, withheld=""))
    rows.append(replace(ratio, arm="cvae, picked · ratio 1", sensitivity_row=True, chosen=0.0, withheld=""))
    sifted = Curation("cvae, sifted · ratio 1", "agreement + near_copy", classes, *_counts(len(classes)), 1500, 1050)
    picked = Curation(
        "cvae, picked · ratio 1", "handpicked", classes, (0,) * len(classes), (0,) * len(classes), {}, 9, 9
    )
    found = {"audited": audited(classes), "curations": (sifted, picked), "doses": dose_readings(rows)}
    return replace(made, arms=tuple(rows), **{**found, **changes})


def _counts(size: int) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, tuple[int, ...]]]:
    return (750,) * size, (600,) * size, {RULES[0]: (120,) * size, RULES[1]: (30,) * size}


def audited(classes: tuple[str, ...]) -> Audited:
    """Return the audits of a red and a green generator, and four that fidelity says something of."""
    red = maker("cvae", DECISIONS["red"], classes)
    green = replace(maker("cvae, near_copy", DECISIONS["green"], classes), arms=("cvae, sifted · ratio 1",))
    ranks = (Predicted("KID (judge)", 0.8, 0.333, 4), Predicted("TSTR", NAN, NAN, 4))
    return Audited((red, green), Controls(0.0001, 0.7), ranks)


def maker(name: str, decision: Decision | None, classes: tuple[str, ...], **changes) -> AuditedMaker:
    """Return one audited generator, with two spaces."""
    pooled = SpaceFidelity("judge", "", 40, 40, 0.0123, 0.004, -0.0004, 3.21, 0.08, 0.71, 0.64, 0.97, 12.34, 0.93, 0.51)
    rows = [replace(pooled, name=label, kid_p=NAN, frechet=None, coverage=0.12) for label in classes]
    drawn = CopyingInSpace(
        *("pixels", 250, 80, 0.231, 0.0123, 0.187, (classes[-1], 0.31), 0.64, 0.11, 0.012, 0.42, 0.55, -4.56),
        *(0.083, 0.034, 0.712, 0.651, 0.043, 0.0099, 0.68),
    )
    few = {"membership": None, "membership_low": None, "membership_tpr": None, "membership_fpr": None, "domias": None}
    made = AuditedMaker(
        maker=name,
        generator="cvae",
        near_copies=False,
        arms=("cvae · balance", "cvae · ratio 1"),
        splits=5,
        decision=decision,
        copying=(drawn, replace(drawn, space="efficientnet_lite0", **few)),
        fidelity=(pooled, *rows),
        tstr=0.611,
        trts=0.733,
        real=0.822,
        gain=0.047,
        diversity=(
            PairDiversity("LPIPS", classes[0], 0.31, 0.42),
            PairDiversity("MS-SSIM", "", None, None, "too small."),
        ),
    )
    return replace(made, **changes)


def audited_galleries(classes: tuple[str, ...] = ("benign", "malignant"), *, shown: int = 3):
    """Return the galleries with the closest pairs of both pools and with kept and dropped images."""
    copies, cvae = galleries(classes, shown=shown)
    pairs = tuple(ClosePairs(name, *_blobs(20 + k, 2), np.array([0.05, 0.11])) for k, name in enumerate(classes))
    closest = tuple(Closest(name, 0.071, pairs) for name in ("cvae", "cvae, near_copy"))
    examples = tuple(SiftedClass(name, *_blobs(40 + k, 2), RULES) for k, name in enumerate(classes))
    sifted = Sifted(("cvae, sifted · ratio 1", "cvae, sifted · ratio 2"), examples)
    return copies, replace(cvae, closest=closest, sifted=(sifted,))


def _blobs(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.stack([blob(28, side, 100 * seed + i) for i in range(count)]) for side in (0, 1))
