import re

import pytest

from augury.errors import SettingsError
from augury.generators import CGAN
from augury.policies import Balance, Ratio
from augury.study import Arm, NamedGenerator, demo, lay_out, toy
from augury.study.estimate import FEWEST_REPEATS, Stopwatch, estimate, fit_into, in_words, parse_seconds
from augury.study.store import MemoryStore
from tiny import TINY_CLASSIFIERS, TINY_GENERATORS
from toy import nothing_touched, toy_images


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h 30min", 5400)])
def test_times_are_read_as_people_write_them(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "2", ".5h", "h2", "3 weeks", "1h-5m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(SettingsError, match="a time is written like 90s"):
        parse_seconds(text)


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (95, "2 min"), (3600, "1 h 00 min")])
def test_times_are_written_as_people_say_them(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize("recipe", [TINY_GENERATORS["cvae"], TINY_CLASSIFIERS["small_cnn"]])
def test_a_probe_takes_a_few_steps_and_speaks_for_all(recipe):
    images = toy_images(per_class=20)
    long = recipe.replace(steps=100_000)
    with nothing_touched(images):
        short, whole = (Stopwatch(images, "cpu").seconds(each) for each in (recipe.replace(steps=100), long))
    assert 100 < whole / short < 10_000  # a thousand times the steps; the rest is the noise of a few of them


def test_what_is_done_takes_no_more_time():
    store = MemoryStore()
    laid = lay_out(toy(), store)
    before = estimate(laid, jobs=1, device="cpu")
    for step in laid.plan().steps:
        store.put(step, None)
    after = estimate(laid, jobs=1, device="cpu")
    assert (before.steps > 0, after.steps, after.seconds) == (True, 0, 0)


def test_more_processes_take_less_time():
    laid = lay_out(demo(), MemoryStore())
    one, four = (estimate(laid, jobs=jobs, device="cpu").seconds for jobs in (1, 4))
    assert four < one / 2


def test_a_budget_leaves_out_doses_first_then_repeats(monkeypatch):
    monkeypatch.setattr("augury.study.estimate.Stopwatch.seconds", lambda self, recipe: 1.0)
    laid, need, left_out = fit_into(lay_out(demo(), MemoryStore()), 190, jobs=1, device="cpu")
    assert need.seconds <= 190
    assert left_out[:3] == ("dose 'ratio 2'", "dose 'ratio 1'", "repeat 5")
    assert laid.study.split.repeats < 5
    assert [arm.amounts for arm in laid.study.arms if arm.name == "cvae"] == [(Balance(),)]


def test_a_tight_budget_leaves_out_the_diagnosis_of_fidelity_and_never_the_audit_of_copying(monkeypatch):
    monkeypatch.setattr("augury.study.estimate.Stopwatch.seconds", lambda self, recipe: 1.0)
    whole = lay_out(demo(), MemoryStore())
    smallest = fit_into(whole, 150, jobs=1, device="cpu")
    assert smallest[2][-1] == "fidelity, which decides nothing"
    assert smallest[0].study.audit == whole.study.audit.replace(fidelity=False)
    assert smallest[0].audits.controls


def test_what_fits_stays_whole():
    laid, _, left_out = fit_into(lay_out(toy(), MemoryStore()), 1e9, jobs=1, device="cpu")
    assert (laid.study, left_out) == (toy(), ())
    assert laid.study.arms[1].amounts == (Ratio(r=1.0),)


def test_a_budget_that_nothing_fits_is_refused_with_the_time_it_takes():
    study = toy().replace(split=toy().split.replace(repeats=FEWEST_REPEATS))
    with pytest.raises(SettingsError, match="the smallest form of this study needs about"):
        fit_into(lay_out(study, MemoryStore()), 0.001, jobs=1, device="cpu")


def test_the_budget_that_is_named_holds_the_study_though_the_machine_gets_busier(monkeypatch):
    monkeypatch.setattr("augury.study.estimate.Stopwatch.seconds", lambda self, recipe: 60.0)
    laid = lay_out(toy().replace(split=toy().split.replace(repeats=FEWEST_REPEATS)), MemoryStore())
    with pytest.raises(SettingsError) as refused:
        fit_into(laid, 60, jobs=1, device="cpu")
    named = parse_seconds(re.search(r"Raise --budget to (\w+),", str(refused.value))[1])
    monkeypatch.setattr("augury.study.estimate.Stopwatch.seconds", lambda self, recipe: 66.0)
    assert fit_into(laid, named, jobs=1, device="cpu")[1].seconds <= named


def test_a_budget_that_is_too_small_names_what_each_of_several_generators_takes(monkeypatch):
    seconds = {"cvae": 60.0, "cgan": 1200.0}
    monkeypatch.setattr("augury.study.estimate.Stopwatch.seconds", lambda self, recipe: seconds.get(recipe.kind, 1.0))
    plain = toy()
    more = Arm(name="cgan", generator="cgan", amounts=(Ratio(r=1.0),))
    makers = (*plain.generators, NamedGenerator(name="cgan", recipe=CGAN()))
    study = plain.replace(generators=makers, arms=(*plain.arms, more))
    told = r"training takes: cvae 2 min, cgan 40 min; fewer --generator take less"  # in two folds
    with pytest.raises(SettingsError, match=told):
        fit_into(lay_out(study, MemoryStore()), 0.001, jobs=1, device="cpu")
