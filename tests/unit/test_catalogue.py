import json

from augury.catalogue import catalogue
from augury.classifiers import CLASSIFIERS
from augury.filters import FILTERS
from augury.generators import GENERATORS
from augury.generators.adversarial import Game
from augury.policies import POLICIES
from augury.readers import READERS
from augury.selections import SELECTIONS
from augury.study.study import Audit
from augury.study.study_file import NESTED

TABLES = {
    "generators": GENERATORS,
    "classifiers": CLASSIFIERS,
    "policies": POLICIES,
    "filters": FILTERS,
    "selections": SELECTIONS,
    "tables": {**NESTED, "game": Game, "audit": Audit},
    "readers": READERS,
}


def rows():
    return [row for family in catalogue().values() for row in family]


def test_every_kind_of_every_table_is_listed_once_in_its_order():
    listed = {family: [row["kind"] for row in entries] for family, entries in catalogue().items()}
    assert listed == {family: list(table) for family, table in TABLES.items()}


def test_every_kind_says_in_one_line_what_it_is():
    for row in rows():
        assert row["summary"].strip()
        assert "\n" not in row["summary"]


def test_every_setting_has_a_default_and_a_meaning():
    for row in rows():
        for setting in row["settings"]:
            assert setting["default"] != ""
            assert setting["meaning"], f"{row['kind']}.{setting['name']} needs a description"


def test_every_setting_of_a_recipe_is_listed():
    for family in [family for family in TABLES if family != "readers"]:
        for row in catalogue()[family]:
            assert [setting["name"] for setting in row["settings"]] == list(TABLES[family][row["kind"]].model_fields)


def test_it_can_be_printed_as_json():
    assert json.loads(json.dumps(catalogue())) == catalogue()
