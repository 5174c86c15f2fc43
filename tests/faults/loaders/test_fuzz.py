"""Every loader on whole, kept and changed files: it reads finite numbers or refuses in words."""

from itertools import islice

import pytest
from loader_targets import CORPUS, TARGETS
from mutations import mutations

SLOW = {"bind": 3, "network": 3, "bpe_tables": 10}
"""Target → changes of each seed; others have `CHANGES`."""
CHANGES = 12
REFUSED = {"image": {"float.tiff", "a.ppm"}, "pickle": {"list", "sparse"}}
"""Seeds that are files of their format, but not of an object or a table of tensors."""


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read(name, tmp_path):
    target = TARGETS[name]
    for seed, data in target.seeds().items():
        refusal = target.check(data, tmp_path)
        assert (refusal is not None) == (seed in REFUSED.get(name, ())), (seed, refusal)


@pytest.mark.parametrize("name", TARGETS)
def test_kept_files_are_read_or_refused_in_words(name, tmp_path):
    """What fuzzing has found to reach lines that no seed reaches."""
    for path in sorted((CORPUS / name).iterdir()):
        TARGETS[name].check(path.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused_in_words(name, tmp_path):
    target, refused = TARGETS[name], 0
    for number, data in enumerate(target.seeds().values()):
        for changed in islice(mutations(data, number), SLOW.get(name, CHANGES)):
            refused += target.check(changed, tmp_path) is not None
    assert refused > 0


def test_the_same_seed_makes_the_same_changes():
    first, again = (list(islice(mutations(b'{"a": [1, 2]}', 3), 20)) for _ in range(2))
    assert first == again
    assert len(set(first)) > 10
