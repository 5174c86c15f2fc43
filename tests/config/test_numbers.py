"""Numbers that decide a result are in the configuration: none hides in a module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "xbind"
MODULES = sorted(
    [
        path
        for package in ("algorithm", "losses", "diffusion", "scene")
        for path in (ROOT / package).rglob("*.py")
    ]
    + [ROOT / f"{name}.py" for name in ("run/outputs", "run/phase1", "config/variants")]
)

CONSTANTS = {
    "diffusion.estimator.CAMERA": "elements of a 4 × 4 matrix: mathematics",
    "diffusion.perp_neg.TINY": "a guard against a division by zero",
    "scene.harmonics.DEGREES": "degrees of the harmonics: mathematics",
    "scene.materials._OUTPUTS": "numbers of a material",
    "scene.materials._TABLE": "steps of a quadrature, whose error is below a level of a byte",
    "scene.mesh.network_sdf._OUTPUTS": "a signed value and an offset",
    "scene.sky.LAMBERT": "factors of the cosine lobe: mathematics",
    "scene.sky._NODES": "nodes of a quadrature, whose error is below float32's",
    "scene.cameras.OWN_POSE_SCALE": "scale of an input that the mini networks were trained with",
    "scene.mesh.tet_shape.BOUNDARY_SDF": "a guard: keeps the mesh closed at its box",
    "scene.mesh.dmtet.CHUNK": "bounds memory; the result is the same",
    "scene.mesh.baking.CHUNK": "bounds memory; the result is the same",
    "scene.mesh.gltf._ARRAY": "an enumeration value of glTF 2.0",
    "scene.mesh.gltf._CLAMP": "an enumeration value of glTF 2.0",
    "scene.mesh.gltf._ELEMENTS": "an enumeration value of glTF 2.0",
    "scene.mesh.gltf._LINEAR": "an enumeration value of glTF 2.0",
    "scene.mesh.gltf._LINEAR_MIPMAPS": "an enumeration value of glTF 2.0",
    "scene.mesh.gltf._NO_SUM": "layout of the checksum: a format",
    "scene.mesh.gltf._SUM": "layout of the checksum: a format",
    "scene.mesh.marching_numba.GOLDEN": "multiplier of a hash: mathematics",
    "scene.mesh.mesh.TINY": "a guard against a division by zero",
    "scene.mesh.printable.MILLIMETRES": "a unit",
    "scene.mesh.textured.MAX_TEXTURE_PIXELS": "bounds memory; the result is the same",
    "scene.mesh.transfer.CANDIDATES": "of exports: how exactly a nearest point is found",
    "scene.mesh.transfer.SAMPLES": "of exports: how exactly a nearest point is found",
    "scene.mesh.transfer._PLASTIC": "base of a sequence: mathematics",
    "scene.mesh.turntable.CRF": "quality of the video's compression",
    "scene.mesh.turntable._BT709": "an enumeration value of ITU-T H.273",
    "scene.mesh.usdz._ALIGNMENT": "layout of USDZ: a format",
    "scene.mesh.usdz._EXTRA_HEADER": "layout of USDZ: a format",
    "scene.mesh.usdz._LOCAL_HEADER": "layout of USDZ: a format",
    "scene.mesh.usdz._PADDING_ID": "layout of USDZ: a format",
    "scene.mesh.tets._QUAD": "corners of a unit square: mathematics",
    "scene.mesh.tets.SAFE_OFFSET": "geometry: beyond a quarter of a cell tetrahedra turn over",
    "scene.nerf.render.RAYS_AT_ONCE": "bounds memory; the result is the same",
}
"""Module constants with a number that stay → why."""

DEFAULTS = {
    "losses.vsd2d.__init__.gradient_scale": "1: none",
    "losses.side_by_side.__init__.of_each": "threads of each step; sums of one thread by default",
    "scene.cameras.clip_from_world.far": "a clipping plane beyond every object",
    "scene.cameras.clip_from_world.near": "a clipping plane before every object",
    "scene.cameras.orbit.distance": "views of a finished object; a run gives its own",
    "scene.cameras.orbit.elevation_deg": "views of a finished object; a run gives its own",
    "scene.cameras.orbit.fov_y_deg": "views of a finished object; a run gives its own",
    "algorithm.reference_view.condition_unclip.noise_level": "0: the least noise there is",
    "diffusion.latents.latent_loss.weight": "1: none",
    "diffusion.schedule.scaled_linear_betas.end": "schedule of the public networks: a format",
    "diffusion.schedule.scaled_linear_betas.start": "schedule of the public networks: a format",
    "diffusion.schedule.scaled_linear_betas.steps": "schedule of the public networks: a format",
    "diffusion.schedule.squared_cosine_betas.largest": "schedule of the public networks: a format",
    "diffusion.schedule.squared_cosine_betas.steps": "schedule of the public networks: a format",
    "diffusion.timesteps.annealed_timesteps.jitter": "0: none",
    "diffusion.timesteps.annealed_timesteps.steps": "length of every schedule here: a format",
    "diffusion.timesteps.uniform_timesteps.steps": "length of every schedule here: a format",
    "scene.mesh.render.shade_with.background": "white, as for `shade`",
    "scene.mesh.render.shade.background": "white: what all pictures of this project lie on",
    "scene.nerf.render.render.background": "white: what all pictures of this project lie on",
    "scene.mesh.turntable.write_turntable.fps": "the run gives its own",
    "algorithm.adan.__init__.betas": "the published defaults of Adan; the run gives its own",
    "algorithm.adan.__init__.eps": "the published defaults of Adan; the run gives its own",
    "algorithm.adan.__init__.lr": "the published defaults of Adan; the run gives its own",
    "algorithm.adan.__init__.weight_decay": "the published defaults of Adan; the run gives its own",
}
"""Defaults of parameters with a number that stay → why."""


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def has_number(node):
    return node is not None and any(
        isinstance(x, ast.Constant) and type(x.value) in (int, float) for x in ast.walk(node)
    )


def constants(tree):
    """Upper-case names that a module binds to something with a number in it."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and has_number(node.value):
            names = [x.id for t in targets for x in ast.walk(t) if isinstance(x, ast.Name)]
            yield from (name for name in names if name.isupper())


def defaults(tree):
    """`function.parameter` of defaults with a number in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            last = [*node.args.posonlyargs, *node.args.args][-len(node.args.defaults) or None :]
            pairs = [*zip(last, node.args.defaults, strict=False)] if node.args.defaults else []
            pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            yield from (f"{node.name}.{a.arg}" for a, value in pairs if has_number(value))


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_no_number_hides_in_a_module(path):
    tree, module = ast.parse(path.read_text(encoding="utf-8")), module_of(path)
    found = {f"{module}.{name}" for name in constants(tree)}
    assert sorted(found - CONSTANTS.keys()) == [], "move it to xbind/config/method.py"
    found = {f"{module}.{name}" for name in defaults(tree)}
    assert sorted(found - DEFAULTS.keys()) == [], "move it to xbind/config/method.py"


def test_the_lists_hold_nothing_that_is_gone():
    trees = {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    assert {f"{m}.{n}" for m, tree in trees.items() for n in constants(tree)} == CONSTANTS.keys()
    assert {f"{m}.{n}" for m, tree in trees.items() for n in defaults(tree)} == DEFAULTS.keys()
    assert all((CONSTANTS | DEFAULTS).values())


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("RATE = 0.02", "RATE"),
        ("SMALLEST, LARGEST = 0.03, 0.8", "LARGEST"),
        ("SIZES: tuple[int, ...] = (1, 2)", "SIZES"),
        ("HALF = 1 / math.pi", "HALF"),
        ("CONFIG = Config(rate=3)", "CONFIG"),
    ],
)
def test_a_constant_is_seen(line, name):
    assert name in constants(ast.parse(line))


@pytest.mark.parametrize("line", ["NAME = 'x'", "ON = True", "rate = 3", "T = list[int]"])
def test_what_is_no_constant_with_a_number_is_not_seen(line):
    assert list(constants(ast.parse(line))) == []


def test_a_default_is_seen():
    tree = ast.parse("def f(a, b=2, *, c, d=(1.0, 2.0), e='x'): ...")
    assert list(defaults(tree)) == ["f.b", "f.d"]
