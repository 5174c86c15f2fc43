"""The systems of Table II: docs/reference/methods.md, their stages, and presets that hold them."""

import ast
import math
import re
from functools import reduce
from pathlib import Path

import pytest

from xbind.config.methods import SYSTEMS
from xbind.config.presets import PRESETS, preset_named
from xbind.config.variants import METHODS, method_named

PAGE = Path(__file__).parents[2] / "docs/reference/methods.md"
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| `(.+?)` \| (.+) \|$", re.MULTILINE)
TITLES = {"DreamFusion": "dreamfusion", "Magic3D": "magic3d", "Fantasia3D": "fantasia3d",
          "ProlificDreamer": "prolificdreamer"}  # fmt: skip


def sections():
    """Name of each system → the text of its section."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {name: found[title] for title, name in TITLES.items()}


ROWS = [(name, *row) for name, text in sections().items() for row in ROW.findall(text)]


@pytest.mark.parametrize(
    ("name", "path", "value", "source"), ROWS, ids=[f"{row[0]}:{row[1]}" for row in ROWS]
)
def test_a_row_is_what_the_preset_holds(name, path, value, source):
    found = reduce(getattr, path.split("."), method_named(f"paper:{name}"))
    assert found == ast.literal_eval(value)
    assert source.strip()


def test_no_row_is_overlooked_and_none_stands_twice():
    for name, text in sections().items():
        lines = [line for line in text.splitlines() if re.match(r"\| `\w+\.", line)]
        paths = [path for own, path, *_ in ROWS if own == name]
        assert len(lines) == len(paths) == len(set(paths)) > 40


def test_the_numbers_are_those_of_threestudio_s_files():
    """Read off the configurations, in their own terms."""
    systems = {name: method_named(f"paper:{name}") for name in SYSTEMS}
    for name, steps in (
        ("dreamfusion", (10_000, 0, 0)), ("magic3d", (10_000, 5_000, 0)),
        ("fantasia3d", (0, 10_000, 5_000)), ("prolificdreamer", (25_000, 15_000, 30_000)),
    ):  # fmt: skip
        method = systems[name]
        assert (method.coarse.steps, method.geometry.steps, method.texture.steps) == steps
    for name in ("dreamfusion", "magic3d", "prolificdreamer"):
        field = systems[name].coarse.field
        growth = field.resolutions[-1] / field.resolutions[0]
        assert growth ** (1 / 15) == pytest.approx(1.4472692374403782)  # per_level_scale
        radius = field.radius
        assert 2 * math.sqrt(3) * radius / systems[name].coarse.ray_step == pytest.approx(512)
    ramp = systems["dreamfusion"].coarse.w_orient  # [0, 10., 1000., 5000]
    assert [ramp.at(step / 10_000) for step in (0, 2500, 5000, 9000)] == [10, 505, 1000, 1000]
    opaque = systems["prolificdreamer"].coarse.w_entropy  # [10000, 0., 1000., 10001]
    assert [opaque.at(step / 25_000) for step in (9999, 10_001)] == [0, 1000]
    for stage, steps in (("coarse", 25_000), ("geometry", 15_000), ("texture", 30_000)):
        guidance = getattr(systems["prolificdreamer"], stage).guidance  # [5000, .98, .5, 5001]
        assert [guidance.t_max_at(step / steps) for step in (4999, 5001)] == [0.98, 0.5]
    assert systems["fantasia3d"].geometry.guidance.latent_share * 10_000 == 1000  # latent_steps


@pytest.mark.parametrize("numbers", PRESETS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_uses_the_2d_prior_alone(numbers, name):
    method = method_named(f"{numbers}:{name}")
    assert not method.uses_reference
    for phase in (method.coarse, method.geometry, method.texture):
        guidance = phase.guidance
        assert guidance.w_3d == guidance.w_ms == guidance.w_img == guidance.w_img_3d == 0
    assert all(phase.guidance.w_2d > 0 for phase in method.phases)


@pytest.mark.parametrize("numbers", ["default", "smoke", "probe"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_mini_numbers_take_the_iterations_of_the_preset(numbers, name):
    def steps(method):
        return [method.coarse.steps, method.geometry.steps, method.texture.steps]

    system, preset = method_named(f"{numbers}:{name}"), preset_named(numbers)
    assert sum(steps(system)) == sum(steps(preset))
    used = [bool(n) for n in steps(system)]
    assert used == [bool(n) for n in steps(method_named(f"paper:{name}"))]
    assert system.texture.texture_px == preset.texture.texture_px
    assert system.geometry.resolution == preset.geometry.resolution


def test_fast_takes_a_tenth_of_the_iterations():
    method = method_named("fast:prolificdreamer")
    assert [phase.steps for phase in method.phases] == [2_500, 1_500, 3_000]
    assert method.coarse.guidance == method_named("paper:prolificdreamer").coarse.guidance


def test_a_system_alone_is_at_the_numbers_of_default():
    for name in SYSTEMS:
        assert name in METHODS
        assert method_named(name) == method_named(f"default:{name}")


def test_no_system_is_another():
    methods = [method_named(f"{n}:{name}") for n in ("default", "paper") for name in SYSTEMS]
    assert all(a != b for i, a in enumerate(methods) for b in methods[:i])
