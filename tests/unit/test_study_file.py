import sys
import tomllib
from pathlib import Path

import pytest

from augury.augment import FAMILIES, MODALITIES, Augment
from augury.classifiers import BackboneClassifier, ResNet18Classifier, SmallCNNClassifier
from augury.errors import DataError, SettingsError
from augury.filters import Agreement, Difficulty, NearCopy, Typicality
from augury.generators import DCGAN, Blend, Repeat, SuperResolution
from augury.losses import Loss
from augury.mixing import Synthetic
from augury.policies import Add, Balance, Ratio
from augury.selections import Diverse, Handpicked
from augury.splits import SplitPlan
from augury.study import (
    PRESETS,
    Arm,
    Audit,
    DataSettings,
    NamedClassifier,
    NamedGenerator,
    demo,
    dump_study,
    for_images,
    lay_out,
    load_study,
    toy,
)
from augury.study.identity import digest
from augury.study.store import MemoryStore
from augury.study.study import Tuning
from augury.study.study_file import shared_text
from toy import toy_images

STUDIES = Path(__file__).parents[2] / "studies"
HEAD = """
[data]
source = "digits"
[[generators]]
kind = "blend"
[[generators]]
kind = "cvae"
steps = 20
[[classifiers]]
kind = "small_cnn"
"""
ARMS = """
[[arms]]
name = "real"
[[arms]]
name = "cvae"
generator = "cvae"
amounts = ["balance", "ratio 0.5"]
[[arms]]
name = "turned"
classifier = { sampling = "balanced", augment = { rotate = 5.0 } }
"""
PLUGIN = """
from pathlib import Path
from typing import ClassVar
from augury.generators import Repeat
Path(__file__).with_name("imported").touch()
class Mine(Repeat):
    kind: ClassVar[str] = "mine"
    wide: int = 3
class Stranger:
    pass
"""


@pytest.fixture
def load(tmp_path):
    def load(text, **options):
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.toml", **options)

    return load


@pytest.fixture
def refused(load):
    """Return the sentence with which a study file is refused."""

    def refused(text, **options):
        with pytest.raises(SettingsError) as caught:
            load(text, **options)
        return str(caught.value)

    return refused


EVERY_FILTER = (Agreement(drops=0.1), Typicality(), NearCopy(space="resnet18"), Difficulty(easiest=0.0, hardest=0.4))


def full_study():
    """A study that uses every corner of the format."""
    changed = (
        ("augment", Augment(flip=True, crop=0.9)),
        ("loss", Loss(name="focal", gamma=1.5)),
        ("sampling", (0.25, 0.75)),
        ("synthetic", Synthetic(share=0.5, weight=0.25, real_last=0.1, replaces=True, smoothing=0.1)),
    )
    frozen = BackboneClassifier(network="vgg11_bn", weights="none", dense=(64, 8), loss="balanced_softmax")
    return demo().replace(
        title='Quotes " and \\ and ümlauts \n [data]',
        flaws=("generator_sees_test", "groups_ignored"),
        data=DataSettings(source="/somewhere/else", size=(8, 12), safe=("flip", "crop"), fit="pad"),
        split=SplitPlan(folds=3, per_class=60, keep=(("a [b]", 3), ("é.\n", 25))),
        generators=(NamedGenerator(name="one", recipe=Blend(parents=5)), NamedGenerator(name="two", recipe=Repeat())),
        tune=Tuning(trials=3, grid=(("dropout", (0.1, 0.5)), ("rate", (1e-3, 0.01))), per_arm=True),
        classifiers=(
            NamedClassifier(name="small one", recipe=SmallCNNClassifier(rate=1e-4, sampling="balanced")),
            NamedClassifier(name="frozen", recipe=frozen),
        ),
        arms=(
            Arm(name="real"),
            Arm(name="few", generator="one", amounts=(Balance(per_class={"a.b": 3, "c": 0}), Ratio(r=1e-05))),
            Arm(name="changed", generator="two", amounts=(Ratio(r=2.0),), classifier=changed),
            Arm(name="moved", recalibrate="prior", longer=0.5),
            Arm(name="sieved", generator="one", amounts=(Ratio(r=1.0),), filters=EVERY_FILTER, factor=7.5),
            Arm(name="spread", generator="one", amounts=(Ratio(r=1.0),), select=Diverse(space="pixels")),
        ),
        audit=Audit(copying=False, images=33, network="squeezenet1_1"),
    )


def own_studies():
    """The studies of `augury try`, with every preset, on balanced and imbalanced images."""
    data = DataSettings(source="digits", size=(8, 8), safe=("shift", "flip"), positive="class 1")
    for preset in PRESETS:
        for per_class in ((20, 20), (30, 12)):
            for split in ("folds", "given"):
                images = toy_images(per_class=per_class, parts=True)
                yield pytest.param(
                    for_images(data, images, preset=preset, split=split, seed=3), id=f"{preset} {per_class} {split}"
                )


# ---- there and back


@pytest.mark.parametrize(
    "study",
    [
        pytest.param(demo(), id="demo"),
        pytest.param(toy(), id="toy"),
        pytest.param(full_study(), id="full"),
        *own_studies(),
    ],
)
def test_a_written_study_is_read_as_an_equal_one(load, study):
    loaded = load(dump_study(study))
    assert loaded == study
    assert digest(loaded) == digest(study)


def test_every_setting_is_written():
    written = tomllib.loads(dump_study(demo()))
    assert set(SmallCNNClassifier.model_fields) <= set(written["classifiers"][0])
    assert {"folds", "repeats", "inner_share", "per_class", "keep"} <= set(written["split"])
    assert {"title", "seed", "metric", "rope", "flaws", "threads"} <= set(written)
    assert set(written["tune"]) == {"trials", "grid", "per_arm"}


def test_the_order_in_which_python_names_classes_and_changes_is_no_matter(load):
    study = toy().replace(
        split=SplitPlan(keep=(("b", 3), ("a", 5))),
        arms=(Arm(name="real"), Arm(name="x", classifier=(("rate", 0.1), ("dropout", 0.4)))),
    )
    assert load(dump_study(study)) == study


def test_defaults_are_filled_in_and_lists_may_be_short(load):
    study = load(HEAD + ARMS)
    assert [named.name for named in study.generators] == ["blend", "cvae"]
    assert study.split == SplitPlan()
    assert study.arms[1].amounts == (Balance(), Ratio(r=0.5))
    assert study.arms[2].classifier == (("augment", Augment(rotate=5.0)), ("sampling", "balanced"))


ONE_LINE_EACH = {
    'loss = "focal"': ("loss", Loss(name="focal")),
    'loss = { name = "ldam_drw", margin = 1.0 }': ("loss", Loss(name="ldam_drw", margin=1.0)),
    "synthetic = { share = 1 }": ("synthetic", Synthetic(share=1.0)),
    "synthetic = { weight = 0.25, real_last = 0.3 }": ("synthetic", Synthetic(weight=0.25, real_last=0.3)),
    "augment = { scale = 0.2 }": ("augment", Augment(scale=0.2)),
    "cutmix = 1.0": ("cutmix", 1.0),
}


@pytest.mark.parametrize(("line", "setting"), ONE_LINE_EACH.items(), ids=ONE_LINE_EACH)
def test_a_setting_is_one_line_in_a_classifier_and_in_an_arm(load, line, setting):
    name, value = setting
    arm = f'[[arms]]\nname = "x"\nclassifier = {{ {line} }}\n'
    study = load(HEAD.replace('"digits"', '"digits"\nsafe = "chest"') + line + ARMS.partition("[[arms]]")[0] + "\n"
                 '[[arms]]\nname = "real"\n' + arm)  # fmt: skip
    assert getattr(study.classifiers[0].recipe, name) == value
    recipe = SmallCNNClassifier().replace(**dict(study.arms[1].classifier))
    assert getattr(recipe, name) == value
    assert load(dump_study(study)) == study


def test_tuning_may_try_tables(load):
    grid = "grid = { loss = ['focal', { name = 'focal', gamma = 1.0 }], rate = [0.001] }"
    study = load(f"[tune]\ntrials = 2\n{grid}\n{HEAD}{ARMS}")
    assert dict(study.tune.grid)["loss"] == ("focal", Loss(name="focal", gamma=1.0))
    assert load(dump_study(study)) == study
    assert digest(load(dump_study(study))) == digest(study)


@pytest.mark.parametrize("network", ["vgg16", "resnet50", "timm:resnet10t", "efficientnet_lite0"])
def test_a_published_network_goes_by_its_own_name(load, network):
    study = load(HEAD.replace('"small_cnn"', f'"{network}"\nweights = "none"') + "[[arms]]\nname = 'real'")
    expected = NamedClassifier(name=network, recipe=BackboneClassifier(network=network, weights="none"))
    assert study.classifiers == (expected,)
    assert load(dump_study(study)) == study


def test_a_kind_of_ours_comes_before_a_published_network_of_that_name(load):
    assert load(HEAD.replace("small_cnn", "resnet18") + ARMS).classifiers[0].recipe == ResNet18Classifier()


def test_a_file_of_weights_is_meant_from_the_study_file(load, tmp_path):
    arms = "[[arms]]\nname = 'real'\n[[arms]]\nname = 'other'\nclassifier = { weights = 'file:b/w.pth' }\n"
    study = load(HEAD.replace('"small_cnn"', '"vgg16"\nweights = "file:w.pth"') + arms)
    assert study.classifiers[0].recipe.weights == f"file:{tmp_path / 'w.pth'}"
    assert study.arms[1].classifier == (("weights", f"file:{tmp_path / 'b/w.pth'}"),)
    absolute = load(HEAD.replace('"small_cnn"', '"vgg16"\nweights = "file:/x/w.pth"') + "[[arms]]\nname = 'real'")
    assert absolute.classifiers[0].recipe.weights == "file:/x/w.pth"


@pytest.mark.parametrize("name", ["no.pth", "\\u0000", "x" * 5000, ".", ""])
def test_a_file_of_weights_that_is_none_is_refused_before_anything_runs(load, name):
    study = load(HEAD.replace('"small_cnn"', f'"vgg16"\nweights = "file:{name}"') + "[[arms]]\nname = 'real'")
    with pytest.raises(DataError, match=r"a file of weights was expected at .* check the path after 'file:'"):
        lay_out(study.replace(split=SplitPlan(folds=2, repeats=1)), MemoryStore()).plan()


def test_what_is_safe_may_be_a_modality(load):
    study = load(HEAD.replace('"digits"', '"digits"\nsafe = ["chest"]') + ARMS)
    assert study.data.safe == MODALITIES["chest"]
    assert load(HEAD.replace('"digits"', '"digits"\nsafe = "dermoscopy"') + ARMS).data.safe == FAMILIES
    mixed = load(HEAD.replace('"digits"', '"digits"\nsafe = ["chest", "flip"]') + ARMS).data.safe
    assert set(mixed) - set(MODALITIES["chest"]) == {"flip"}


def test_one_side_in_pixels_means_a_square(load):
    assert load(HEAD.replace('"digits"', '"digits"\nsize = 16') + ARMS).data.size == (16, 16)


@pytest.mark.parametrize("source", ["digits", "/abs/olute"])
def test_a_source_that_is_not_relative_stays(load, source):
    assert load(HEAD.replace("digits", source) + ARMS).data.source == source


def test_a_relative_source_is_meant_from_the_file(load, tmp_path):
    assert load(HEAD.replace("digits", "some/images") + ARMS).data.source == str(tmp_path / "some" / "images")


# ---- mistakes

CHANGES = {
    ("{ sampling", "{ steps = 900, sampling"): "arm 'turned' changes 'steps': every arm has one budget",
    ("steps = 20", "chanels = 3"): "[[generators]] 2: cvae has no setting 'chanels'. Expected one of: steps,",
    ("steps = 20", "stepz = 3"): "[[generators]] 2: cvae has no setting 'stepz': did you mean 'steps'?",
    ("steps = 20", 'steps = "3"'): "[[generators]] 2: steps of cvae: expected a valid integer. Got '3'.",
    ("steps = 20", "steps = 0"): "[[generators]] 2: steps of cvae: expected greater than or equal to 1. Got 0.",
    ('kind = "cvae"', 'kind = "cvea"'): "[[generators]] 2: there is no kind 'cvea': did you mean 'cvae'?",
    ('kind = "cvae"', 'name = "cvae"'): "[[generators]] 2: the setting 'kind' is missing.",
    (
        'kind = "small_cnn"',
        'kind = "cvae"',
    ): "[[classifiers]] 1: there is no classifier 'cvae'. Expected one of: small_cnn,",
    ('source = "digits"', "sorce = 3"): "[data]: data has no setting 'sorce': did you mean 'source'?",
    ('source = "digits"', ""): "[data]: data needs the setting 'source'.",
    ("[data]", "sede = 3\n[data]"): "study has no setting 'sede': did you mean 'seed'?",
    ("[data]", 'seed = "3"\n[data]'): "seed of study: expected a valid integer. Got '3'.",
    ("[data]", "split = 3\n[data]"): "[split] is a table. Got 3.",
    ("[data]", "[split]\nfold = 3\n[data]"): "[split]: split has no setting 'fold': did you mean 'folds'?",
    (
        "[data]",
        "[split]\nfolds = 1\n[data]",
    ): "[split]: folds of split: expected greater than or equal to 2. Got 1.",
    ("[data]", 'flaws = ["generator_sees_tests"]\n[data]'): "there is no flaw 'generator_sees_tests': did you mean",
    (
        '"digits"',
        '"digits"\nsafe = ["flips"]',
    ): "[data]: there is no augmentation or modality 'flips': did you mean 'flip'?",
    (
        '"digits"',
        '"digits"\nsafe = ["flip"]',
    ): "arm 'turned' augments by 'rotate', which [data] safe does not list (flip).",
    ("rotate = 5.0", "flip = true"): "arm 'turned' augments by 'flip', which [data] safe does not list (shift, rotate,",
    ("rotate = 5.0", "rotat = 5.0"): "[[arms]] 3: augment has no setting 'rotat': did you mean 'rotate'?",
    ('name = "real"', 'name = "plain"'): "the arm 'real' (real images only) always runs: add [[arms]]",
    ('name = "cvae"', 'name = "real"'): "the name 'real' stands twice: give each its own.",
    ('name = "cvae"', 'name = " "'): "a name is empty.",
    ('name = "real"', 'name = "real"\nclassifier = { steps = 3 }'): "the arm 'real' is the plain classifier",
    ('generator = "cvae"', 'generator = "cvea"'): "arm 'cvae' names the generator 'cvea': did you mean 'cvae'?",
    ('generator = "cvae"', ""): "arm 'cvae' needs both a generator and amounts, or neither of them.",
    ('["balance", "ratio 0.5"]', "[]"): "arm 'cvae' needs both a generator and amounts, or neither of them.",
    ('["balance", "ratio 0.5"]', '"balance"'): "[[arms]] 2: amounts is a list, such as ['balance', 'ratio 1'].",
    ('"balance"', '"balence"'): "[[arms]] 2: there is no policy 'balence': did you mean 'balance'?",
    ('"balance"', '"add"'): "[[arms]] 2: the policy 'add' is written 'add n'. Got 'add'.",
    ('sampling = "balanced"', 'samping = "balanced"'): "small_cnn has no setting 'samping': did you mean 'sampling'?",
    ("{ sampling", "3 # "): "[[arms]] 3: [classifier] is a table. Got 3.",
    ('amounts = ["balance", "ratio 0.5"]', "generater = 3"): "[[arms]] 2: arm has no setting 'generater': did you mean",
    ('[[classifiers]]\nkind = "small_cnn"', ""): "a study needs at least one [[classifiers]].",
    ('[[generators]]\nkind = "blend"', '[[generators]]\nkind = "cvae"'): "the name 'cvae' stands twice",
    # settings that came with the rivals
    (
        '"small_cnn"',
        '"small_cnn"\nloss = "focl"',
    ): "there is no loss 'focl': did you mean",
    ('"small_cnn"', '"small_cnn"\nloss = { gama = 1 }'): "[[classifiers]] 1: loss has no setting 'gama': did you mean",
    ('"small_cnn"', '"small_cnn"\nsynthetic = { share = 2.0 }'): "[[classifiers]] 1: share of synthetic: expected",
    ('"small_cnn"', '"small_cnn"\nself = 3'): "[[classifiers]] 1: small_cnn has no setting 'self'.",
    ('"small_cnn"', '"small_cnn"\npublished = true'): "'published' is for kinds that come from a paper. Set 'steps'",
    ('"small_cnn"', '"resnet5"'): "[[classifiers]] 1: there is no classifier 'resnet5'",
    ('"small_cnn"', '"inception_v3"'): "[[classifiers]] 1: inception_v3 is not supported",
    (
        '"small_cnn"',
        '"timm:resnt50"',
    ): "timm has no network 'resnt50': did you mean 'timm:resnet50'?",
    ('"small_cnn"', '"vgg16"\nnetwork = "vgg11"'): "[[classifiers]] 1: 'vgg16' names the network already.",
    ('"small_cnn"', '"vgg16"\nweights = "imagenet1k"'): "'weights' is imagenet, file:PATH or none. Got 'imagenet1k'.",
    ('"small_cnn"', '"vgg16"\nmixup = 0.2'): "mixup and cutmix blend pixels, and a frozen network is given none.",
    ("{ sampling", "{ loss = { name = 3 }, sampling"): "[[arms]] 3: name of loss:",
    (
        "{ sampling",
        "{ synthetic = { shar = 0.5 }, sampling",
    ): "synthetic has no setting 'shar': did you mean",
    ("{ sampling", "{ batch = 9, sampling"): "An arm with longer = 2.0 is shown beside them.",
    ('name = "turned"', 'name = "turned"\nlonger = 0'): "[[arms]] 3: longer of arm: expected greater than 0. Got 0",
    (
        'name = "turned"',
        'name = "turned"\nrecalibrate = "platt"',
    ): "recalibrate of arm: expected one of: 'none',",
    ('name = "real"', 'name = "real"\nlonger = 2.0'): "the arm 'real' is the plain classifier",
    ('name = "real"', 'name = "real"\nrecalibrate = "both"'): "the arm 'real' is the plain classifier",
    ('"digits"', '"digits"\nsafe = "chst"'): "there is no augmentation or modality 'chst': did you mean 'chest'?",
    ("rotate = 5.0", "trivial = true"): "arm 'turned' augments by 'shear', which [data] safe does not list",
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.items(), ids=[f"{a} -> {b}" for a, b in CHANGES])
def test_a_mistake_is_a_sentence_that_says_where(refused, change, sentence):
    text = HEAD + ARMS
    assert change[0] in text
    assert sentence in refused(text.replace(*change, 1))


TUNED = {
    "trials = 2": "[tune] needs both trials and a grid",
    "grid = { rate = [0.1] }": "[tune] needs both trials and a grid",
    "trials = 1\ngrid = { rate = 0.1 }": "[tune]: grid is a table of lists, such as { rate = [0.001, 0.003] }.",
    "trials = 1\ngrid = { rate = [] }": "[tune] grid has no value to try for 'rate'.",
    "trials = 1\ngrid = { rat = [0.1] }": "small_cnn has no setting 'rat': did you mean 'rate'?",
    "trials = 1\ngrid = { rate = [-0.1] }": "rate of small_cnn: expected greater than 0. Got -0.1.",
    "trials = 1\ngrid = { steps = [5] }": "[tune] finds no 'steps', 'batch' or 'synthetic'",
    "trials = 1\ngrid = { batch = [8] }": "[tune] finds no 'steps', 'batch' or 'synthetic'",
    "trials = 1\ngrid = { sampling = ['balanced'] }": "arm 'turned' changes 'sampling', which [tune] finds.",
    "trials = 1\ngrid = { rate = [{ a = 1 }] }": "[tune] grid tries tables for 'rate', which has none.",
    "trial = 1": "[tune]: tune has no setting 'trial': did you mean 'trials'?",
    "trials = 1001\ngrid = { rate = [0.1] }": "[tune]: trials of tune: expected less than or equal to 1000.",
    f"trials = 1\ngrid = {{ rate = {[0.1] * 101}, dropout = {[0.1] * 100} }}": "more than 10000 combinations",
}


@pytest.mark.parametrize(("tune", "sentence"), TUNED.items())
def test_a_mistake_in_tuning_is_a_sentence(refused, tune, sentence):
    assert sentence in refused(f"[tune]\n{tune}\n{HEAD}{ARMS}")


@pytest.mark.parametrize("setting", ["published = [true]", "augment = [{}, { flip = true }]"])
def test_tuning_cannot_bring_in_what_an_arm_may_not(refused, setting):
    text = HEAD.replace("small_cnn", "covid_cnn") + "[[arms]]\nname = 'real'\n"
    sentence = refused(f"[tune]\ntrials = 2\ngrid = {{ {setting} }}\n{text}")
    assert ("is trained as published" in sentence) or ("augments by 'flip'" in sentence)


def test_tuning_finds_no_settings_of_a_frozen_network(refused):
    text = HEAD.replace('"small_cnn"', '"resnet18"\nname = "x"').replace('"resnet18"', '"vgg16"\nweights = "none"')
    arms = "[[arms]]\nname = 'real'\n"
    refusal = refused(f"[tune]\ntrials = 2\ngrid = {{ weights = ['none', 'imagenet'] }}\n{text}{arms}")
    assert "[tune] finds settings of the head only where the network is frozen." in refusal


@pytest.mark.parametrize("table", ["generators", "classifiers", "arms"])
def test_a_list_of_tables_that_is_something_else_is_a_sentence(refused, table):
    assert refused(f'{table} = ["x"]\n[data]\nsource = "digits"').startswith(
        f"[[{table}]] is a list of tables. Got ['x']"
    )


# ---- code from outside


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A study file that names code from outside, and the code."""
    (tmp_path / "outside_code.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield HEAD.replace('kind = "blend"', 'name = "mine"\nkind = "outside_code:Mine"\nwide = 7') + ARMS
    sys.modules.pop("outside_code", None)


def test_code_from_outside_does_not_run_unless_it_is_allowed(refused, plugin, tmp_path):
    sentence = "[[generators]] 1: 'outside_code:Mine' is code from outside, which runs only with --allow-plugins."
    assert refused(plugin) == sentence
    assert not (tmp_path / "imported").exists()


def test_code_from_outside_runs_when_it_is_allowed_and_comes_back_from_the_file(load, plugin):
    study = load(plugin, allow_plugins=True)
    assert study.generators[0].recipe.settings() == {"wide": 7}
    assert 'kind = "outside_code:Mine"' in dump_study(study)
    assert load(dump_study(study), allow_plugins=True) == study


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no_such_module_here:Mine", "the plug-in 'no_such_module_here:Mine' cannot be loaded: No module named"),
        ("outside_code:Yours", "the plug-in 'outside_code:Yours' cannot be loaded: module 'outside_code' has no"),
        ("augury.generators.base:Generator", "the plug-in 'augury.generators.base:Generator' must be a Generator."),
        ("outside_code:Stranger", "the plug-in 'outside_code:Stranger' must be a Generator. Got"),
        (":Mine", "the plug-in ':Mine' cannot be loaded"),
        (".outside_code:Mine", "the plug-in '.outside_code:Mine' cannot be loaded"),
    ],
)
def test_code_from_outside_that_does_not_fit_is_a_sentence(refused, plugin, kind, sentence):
    assert sentence in refused(plugin.replace("outside_code:Mine", kind), allow_plugins=True)


def test_an_arm_with_one_amount_twice_is_refused():
    study = demo()
    twice = Arm(name="again", generator="cvae", amounts=(Ratio(r=1.0), Ratio(r=1.0)))
    with pytest.raises(SettingsError, match="arm 'again' has the amount 'ratio 1' twice"):
        study.replace(arms=(*study.arms, twice))


def test_amounts_that_differ_by_one_image_have_names_of_their_own():
    assert Add(n=1234567).label != Add(n=1234568).label


def test_a_class_that_is_named_twice_is_refused():
    with pytest.raises(SettingsError, match="'a' stands twice"):
        SplitPlan(keep=(("a", 1), ("a", 2)))


def test_the_file_of_the_demonstration_is_the_demonstration():
    assert load_study(STUDIES / "digits.toml") == demo()


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_that_is_handed_out_can_be_read_and_says_how_it_is_run(path, load):
    study = load_study(path)
    assert load(dump_study(study)) == study
    comment = path.read_text(encoding="utf-8").partition("\n\n")[0]
    assert comment.startswith("# ")
    assert "Run it with:" in comment or "extends = " in comment


@pytest.mark.parametrize("entry", ["kind = {}", "kind = 3", "kind = 'cvae'\nname = []"])
def test_a_kind_and_a_name_are_texts(tmp_path, entry):
    (tmp_path / "s.toml").write_text(f"data = {{ source = 'digits' }}\n[[generators]]\n{entry}\n")
    with pytest.raises(SettingsError, match=r"\[\[generators\]\] 1: '(kind|name)' is a text. Got"):
        load_study(tmp_path / "s.toml")


@pytest.mark.parametrize("shares", [[], [float("nan"), 0.5], [0.5, 0.6], [-0.5, 1.5]])
def test_class_shares_that_are_none_are_refused(shares):
    with pytest.raises(SettingsError, match=r"class shares of 'sampling' must be 0 or more and add up to 1"):
        SmallCNNClassifier(sampling=shares)


# ---- filters, selections, audits


CURATED = (
    HEAD
    + """
[[arms]]
name = "real"
[[arms]]
name = "cvae"
generator = "cvae"
amounts = ["balance", "ratio 0.5"]
"""
)


def test_filters_are_words_or_tables_and_a_selection_is_either(load):
    text = CURATED + 'filters = ["agreement", { kind = "near_copy", drops = 0.02 }]\nselect = "diverse"\n'
    arm = load(text).arms[1]
    assert (arm.filters, arm.select, arm.factor) == ((Agreement(), NearCopy(drops=0.02)), Diverse(), 2.0)
    assert load(CURATED + 'select = { kind = "diverse", space = "pixels" }').arms[1].select == Diverse(space="pixels")


def test_an_arm_that_leaves_nothing_out_is_written_as_before():
    (arm,) = tomllib.loads(dump_study(toy().replace(arms=(Arm(name="real"),))))["arms"]
    assert arm == {"name": "real"}
    plain = Arm(name="x", generator="cvae", amounts=(Ratio(r=1.0),))
    written = tomllib.loads(dump_study(toy().replace(arms=(Arm(name="real"), plain))))["arms"][1]
    assert not written.keys() & {"filters", "select", "factor"}


def test_a_list_of_picks_is_meant_from_the_study_file(load, tmp_path):
    study = load(CURATED + 'select = { kind = "handpicked", picks = "lists/mine.csv" }')
    assert study.arms[1].select == Handpicked(picks=str(tmp_path / "lists" / "mine.csv"))
    assert load(dump_study(study)) == study
    assert str(tmp_path) not in shared_text(study)
    assert 'picks = "mine.csv"' in shared_text(study)


def test_a_model_to_start_from_is_meant_from_the_study_file(load, tmp_path):
    study = load(HEAD.replace('kind = "cvae"\n', 'kind = "flow"\nname = "cvae"\ninit = "models/other"\n') + ARMS)
    assert study.generators[1].recipe.init == str(tmp_path / "models" / "other")
    assert load(dump_study(study)) == study
    assert str(tmp_path) not in shared_text(study)
    assert 'init = "other"' in shared_text(study)
    assert load(HEAD.replace('"cvae"\n', '"flow"\nname = "cvae"\n', 1) + ARMS).generators[1].recipe.init == "none"


def test_a_list_of_picks_that_is_missing_is_said_before_anything_runs(load):
    study = load(CURATED + 'select = { kind = "handpicked", picks = "mine.csv" }')
    with pytest.raises(DataError, match=r"mine.csv: a list made by augury pick, .* was expected"):
        lay_out(study, MemoryStore()).plan()


def test_audits_are_on_unless_said_otherwise(load):
    assert load(CURATED).audit == Audit(copying=True, fidelity=True)
    assert load(CURATED + "[audit]\nfidelity = false\nimages = 50\n").audit == Audit(fidelity=False, images=50)
    assert tomllib.loads(dump_study(toy()))["audit"].keys() >= {"copying", "fidelity", "images", "network"}


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('filters = "agreement"', "filters is a list, such as ['agreement', 'near_copy']. Got 'agreement'."),
        ('filters = ["agreemnt"]', "[[arms]] 2: there is no filter 'agreemnt': did you mean 'agreement'"),
        ('filters = [{ kind = "near_copy", space = "resnet1" }]', "there is no network 'resnet1'"),
        ("filters = [{ drops = 0.1 }]", "[[arms]] 2: there is no filter ''"),
        ('filters = ["near_copy", "near_copy"]', "arm 'cvae' has the filter 'near_copy' twice: once is enough."),
        ('select = ["diverse"]', "[[arms]] 2: there is no selection"),
        ('select = { kind = "diverse", space = "resnet1" }', "there is no network 'resnet1'"),
        ('select = "handpicked"', "[[arms]] 2: "),
        ("factor = 5.0", "arm 'cvae' has a factor, and neither filters nor a selection that would choose."),
        ('filters = ["agreement"]\nfactor = 0.5', "[[arms]] 2: "),
        ('[[arms]]\nname = "x"\nfilters = ["agreement"]', "has filters or a selection, and no generator whose images"),
        ('[[arms]]\nname = "x"\nselect = "diverse"', "has filters or a selection, and no generator whose images"),
        ("[audit]\nimages = 5", "[audit]: "),
        ('[audit]\nnetwork = "resnet1"', "[audit]: "),
        ("[audit]\ncopies = true", "[audit]: "),
        ("audit = true", "[[arms]] 2: "),
    ],
)
def test_a_mistake_in_filters_selections_or_audits_is_a_sentence(refused, lines, sentence):
    assert sentence in refused(CURATED + lines)


def test_an_audit_that_is_no_table_is_a_sentence(refused):
    assert "[audit] is a table. Got True." in refused("audit = true\n" + CURATED)


def test_what_a_report_shows_of_a_study_names_no_folder():
    recipe = BackboneClassifier(network="resnet18", weights="file:/home/mrs smith/old/weights.pth")
    study = toy().replace(classifiers=(NamedClassifier(name="mine", recipe=recipe),))
    text = shared_text(study.replace(data=study.data.replace(source="/home/mrs smith/scans.zip")))
    assert "smith" not in text
    assert 'weights = "file:weights.pth"' in text
    assert 'source = "scans.zip"' in text


def test_a_discriminator_is_shown_safe_changes_only():
    seen = DCGAN(conditional=True, game={"diffaugment": ("shift", "flip")})
    named = NamedGenerator(name="mine", recipe=seen)
    with pytest.raises(SettingsError, match=r"generator 'mine' shows its discriminator images changed by 'flip'"):
        toy().replace(generators=(*toy().generators, named))
    enlarged = NamedGenerator(name="mine", recipe=SuperResolution(generator=seen, method="bicubic"))
    with pytest.raises(SettingsError, match="changed by 'flip'"):
        toy().replace(generators=(*toy().generators, enlarged))
    data = toy().data.replace(safe=("shift", "flip"))
    assert toy().replace(data=data, generators=(*toy().generators, named)).generators[-1] == named


# ---- files that extend another one


@pytest.fixture
def extend(tmp_path):
    """Write a study file and one in a folder beside it that extends it; return what the second holds."""
    (tmp_path / "other").mkdir()

    def load(text, base=CURATED):
        (tmp_path / "long.toml").write_text(base, encoding="utf-8")
        path = tmp_path / "other" / "short.toml"
        path.write_text(text, encoding="utf-8")
        return load_study(path)

    return load


def test_a_file_that_extends_another_says_only_what_differs(extend):
    study = extend(
        'extends = "../long.toml"\ntitle = "Short"\n[split]\nfolds = 2\n[generators.cvae]\nsteps = 7\n'
        '[[arms]]\nname = "twice"\ngenerator = "cvae"\namounts = ["ratio 2"]\n'
    )
    whole = extend('extends = "../long.toml"')
    assert study.title == "Short"
    assert study.split == whole.split.replace(folds=2)
    assert [arm.name for arm in study.arms] == ["real", "cvae", "twice"]
    assert study.generators[1].recipe == whole.generators[1].recipe.replace(steps=7)
    assert (study.data, study.classifiers) == (whole.data, whole.classifiers)
    assert extend('extends = "../long.toml"', dump_study(study)) == study


def test_what_a_file_leaves_out_is_not_there(extend):
    study = extend('extends = "../long.toml"\nleave_out = { arms = ["cvae"], generators = ["cvae"] }')
    assert [arm.name for arm in study.arms] == ["real"]
    assert [named.name for named in study.generators] == ["blend"]


def test_what_is_left_out_may_be_put_in_anew_under_its_name(extend):
    study = extend(
        'extends = "../long.toml"\nleave_out = { generators = ["cvae"] }\n'
        '[[generators]]\nname = "cvae"\nkind = "superres"\nmethod = "bicubic"\n'
    )
    assert [(named.name, named.recipe.kind) for named in study.generators] == [("blend", "blend"), ("cvae", "superres")]
    assert [arm.generator for arm in study.arms][1:] == ["cvae"]


def test_paths_are_meant_from_the_file_that_says_them(extend, tmp_path):
    base = CURATED.replace("digits", "images")
    assert extend('extends = "../long.toml"', base).data.source == str(tmp_path / "images")
    study = extend('extends = "../long.toml"\n[data]\nsource = "images"', base)
    assert study.data.source == str(tmp_path / "other" / "images")


def test_files_may_extend_in_a_row(extend, tmp_path):
    (tmp_path / "longer.toml").write_text(CURATED.replace("[data]", 'title = "Longer"\n[data]', 1), encoding="utf-8")
    assert extend('extends = "../long.toml"', 'extends = "longer.toml"\nrope = 0.02').title == "Longer"
    assert extend('extends = "../long.toml"', 'extends = "longer.toml"\nrope = 0.02').rope == 0.02


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('extends = "../nothing.toml"', r"a study file was expected at .*nothing\.toml"),
        ('extends = "short.toml"', r"short\.toml extends short\.toml, which leads back to it"),
        ("extends = 3", r"short\.toml: extends is the name of a study file\. Got 3"),
        ('leave_out = { arms = ["cvae"] }\n' + CURATED, r"short\.toml: leave_out .*: add extends"),
        ('extends = "../long.toml"\n[generators.cva]\nsteps = 7', r"has no 'cva': did you mean 'cvae'\?"),
        ('extends = "../long.toml"\nleave_out = { arms = ["cva"] }', r"has no 'cva': did you mean 'cvae'\?"),
        ('extends = "../long.toml"\nleave_out = { arm = ["cvae"] }', r"leave_out has no 'arm': did you mean 'arms'\?"),
        ('extends = "../long.toml"\nleave_out = ["cvae"]', r"leave_out is a table of lists"),
        ('extends = "../long.toml"\ngenerators = 3', r"\[\[generators\]\] is a list of tables, and .* changes one"),
        ('extends = "../long.toml"\n[generators.cvae]\nstep = 7', r"\[\[generators\]\] 2: cvae has no setting 'step'"),
    ],
)
def test_a_file_that_cannot_extend_says_why(extend, text, sentence):
    with pytest.raises(SettingsError, match=sentence):
        extend(text)
