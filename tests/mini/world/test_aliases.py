"""The table of things is made from a WordNet database and the review; here from a small one."""

import json

import pytest

from xbind.conditioning.lexicon import FOLDER
from xbind.mini.world.aliases import REVIEW, build_table, read_nouns
from xbind.mini.world.categories import CATEGORIES

SYNSETS = {
    "00000001": (["vehicle"], ["00000002", "00000005"]),
    "00000002": (["car", "auto"], ["00000003", "00000004"]),
    "00000003": (["taxi", "Model_T"], []),
    "00000004": (["bus", "race_car", "half-track"], []),
    "00000005": (["bus", "coach", "zeppelin"], []),
}
INDEX = {
    "vehicle": ["00000001"], "car": ["00000002"], "auto": ["00000002"], "taxi": ["00000003"],
    "model_t": ["00000003"], "bus": ["00000005", "00000004"], "race_car": ["00000004"],
    "half-track": ["00000004"], "coach": ["00000005"], "zeppelin": ["00000005"],
}  # fmt: skip


@pytest.fixture
def nouns(tmp_path):
    data = ["  1 licence"]
    for offset, (lemmas, below) in SYNSETS.items():
        words = " ".join(f"{lemma} 0" for lemma in lemmas)
        pointers = " ".join(f"~ {target} n 0000" for target in below)
        head = f"{offset} 06 n {len(lemmas):02x} {words} {len(below):03d} {pointers}"
        data.append(f"{head} | a gloss")
    (tmp_path / "data.noun").write_text("\n".join(data) + "\n")
    index = [
        f"{lemma} n {len(at)} 1 ~ {len(at)} {int(lemma != 'zeppelin')} {' '.join(at)}"
        for lemma, at in INDEX.items()
    ]
    (tmp_path / "index.noun").write_text("  1 licence\n" + "\n".join(index) + "\n")
    return read_nouns(tmp_path)


def table(nouns, **own):
    review = {"senses": ["car.1"], "drop": [], "add": []} | own
    near = {"near": {"vehicle.1": ["car"]}, "near_add": {}}
    return build_table({"things": {"car": review}} | near, nouns)


def test_hyponyms_are_aliases_unless_the_word_means_more_often_something_else(nouns):
    assert table(nouns)["things"] == {
        "car": ["auto", "half track", "model t", "race car", "taxi"]
    }  # not "bus", whose first sense is no car


def test_the_review_drops_and_adds(nouns):
    own = table(nouns, drop=["taxi"], add=["motor car"])["things"]["car"]
    assert own == ["auto", "half track", "model t", "motor car", "race car"]


def test_species_are_taken_only_where_they_are_listed(nouns):
    assert table(nouns, plain=["taxi"])["things"]["car"] == ["race car", "taxi"]


def test_common_relatives_are_near_and_not_aliases(nouns):
    assert table(nouns)["near"] == {"car": ["bus", "coach", "vehicle"]}


def test_the_shipped_table_is_of_the_review():
    review, shipped = (
        json.loads(REVIEW.read_text()),
        json.loads((FOLDER / "things.json").read_text()),
    )
    assert set(shipped["things"]) == set(review["things"]) == set(CATEGORIES)
    for thing, own in review["things"].items():
        assert set(own["add"]) <= set(shipped["things"][thing])
        assert not set(own["drop"]) & set(shipped["things"][thing])
