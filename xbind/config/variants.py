"""Methods by name: the paper's, its baselines and ablations, and the systems of Table II.

Baselines and ablations change the supervision of each phase alone, so all take the same iterations,
views and cameras. The systems of Table II are in `xbind.config.methods`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from xbind.config.changes import difference, leaves, with_changes
from xbind.config.methods import FAST_SHARE, SYSTEMS
from xbind.config.options import GenerateConfig, Part, Phase2Loss, PlanarLoss, parts_named
from xbind.config.presets import PRESETS, GuidanceConfig, MethodConfig, UnknownPreset, preset_named
from xbind.config.terms import AgreementConfig, ShadingConfig


def _with_guidance(
    method: MethodConfig, change: Callable[[GuidanceConfig], GuidanceConfig]
) -> MethodConfig:
    """The same change in all phases."""
    return replace(
        method,
        coarse=replace(method.coarse, guidance=change(method.coarse.guidance)),
        geometry=replace(method.geometry, guidance=change(method.geometry.guidance)),
        texture=replace(method.texture, guidance=change(method.texture.guidance)),
    )


def _with_planar(method: MethodConfig, loss: PlanarLoss) -> MethodConfig:
    """The same loss of the 2D prior in all phases; L_nz goes, a part of the augmented SDS alone."""
    return replace(
        method,
        coarse=replace(method.coarse, planar=loss, w_nz=0.0),
        geometry=replace(method.geometry, planar=loss),
        texture=replace(method.texture, planar=loss),
    )


def without_ms(method: MethodConfig) -> MethodConfig:
    """Fig. 7 (d): no L_MS."""
    return _with_guidance(method, lambda g: replace(g, w_ms=0.0))


def without_stereo(method: MethodConfig) -> MethodConfig:
    """Fig. 7 (a): no L_stereo (Eq. 12), which is the 3D prior and the reference view's loss."""
    return _with_guidance(method, lambda g: replace(g, w_3d=0.0, w_rgb=0.0, w_mask=0.0))


def without_planar(method: MethodConfig) -> MethodConfig:
    """Fig. 7 (b): no L_planar (Eq. 9), which is the 2D prior, L_nz (Eq. 8) and L_MS.

    The 3D prior keeps its whole weight: there is nothing to give way to.
    """
    method = replace(method, coarse=replace(method.coarse, w_nz=0.0), agreement=AgreementConfig())
    return _with_guidance(method, lambda g: replace(g, w_2d=0.0, w_ms=0.0))


def without_three_phase(method: MethodConfig) -> MethodConfig:
    """Fig. 7 (c): Phase I alone, with the iterations of all three.

    The mesh is the NeRF's level set, its texture what the NeRF shows of it.
    """
    steps = method.coarse.steps + method.geometry.steps + method.texture.steps
    return replace(
        method,
        coarse=replace(method.coarse, steps=steps),
        geometry=replace(method.geometry, steps=0),
        texture=replace(method.texture, steps=0),
    )


def _of_the_paper(method: MethodConfig) -> MethodConfig:
    """L_3D-SDS as in Eq. 10: its image term and its weight by agreement are ours."""
    method = replace(method, agreement=AgreementConfig())
    return _with_guidance(method, lambda g: replace(g, w_img_3d=0.0))


def zerostablecds_3d(method: MethodConfig) -> MethodConfig:
    """ZeroStableCDS-3D: both priors, CDS in all phases, no MS loss."""
    return _of_the_paper(without_ms(_with_planar(method, "cds")))


def stablesds_3d(method: MethodConfig) -> MethodConfig:
    """StableSDS-3D: the 2D prior alone, plain SDS (Eq. 4) in all phases.

    Without the 3D prior there is no use for a reference view: none is sampled.
    """
    plain = _with_guidance(_with_planar(method, "sds"), lambda g: replace(g, w_img=0.0))
    return _of_the_paper(without_ms(without_stereo(plain)))


def zerosds_3d(method: MethodConfig) -> MethodConfig:
    """ZeroSDS-3D: the 3D prior alone, with the reference view's loss."""
    return _of_the_paper(without_planar(method))


def delit(method: MethodConfig) -> MethodConfig:
    """XBind on an albedo under the bundle's known light, in Phases I and III (not in the paper).

    The priors see the same shaded pictures; the texture can be taken without its shading. With a
    bundle that names no light it is XBind.
    """
    light = ShadingConfig(light="bundle", p_lit=1.0, p_textureless=0.0)
    return replace(
        method,
        coarse=replace(method.coarse, shading=light),
        texture=replace(method.texture, shading=light),
    )


BASELINES: dict[str, Callable[[MethodConfig], MethodConfig]] = {
    "xbind": lambda method: method,
    "zerostablecds-3d": zerostablecds_3d,
    "stablesds-3d": stablesds_3d,
    "zerosds-3d": zerosds_3d,
}
"""The paper's method, and its baselines (Sec. V-C)."""
VARIANTS: dict[str, Callable[[MethodConfig], MethodConfig]] = {"delit": delit}
"""Variants of the paper's method that are ours."""
METHODS = (*BASELINES, *VARIANTS, *SYSTEMS)
"""Names of all methods: the paper's, its baselines, our variants, and the systems of Table II."""
PUBLIC = ("paper", "fast")
"""Presets for the public networks, where a system of Table II has threestudio's numbers."""


def _with_method(numbers: str, name: str) -> MethodConfig:
    """A method at the numbers of a preset."""
    method = preset_named(numbers)
    changed = BASELINES | VARIANTS
    if name in changed:
        return changed[name](method)
    if numbers not in PUBLIC:
        return SYSTEMS[name].mini(method)
    method = SYSTEMS[name].public(method)
    return _shortened(method, FAST_SHARE) if numbers == "fast" else method


def _shortened(method: MethodConfig, share: float) -> MethodConfig:
    """The same method in a share of its iterations."""
    return replace(
        method,
        coarse=replace(method.coarse, steps=round(share * method.coarse.steps)),
        geometry=replace(method.geometry, steps=round(share * method.geometry.steps)),
        texture=replace(method.texture, steps=round(share * method.texture.steps)),
    )


WITHOUT: dict[Part, Callable[[MethodConfig], MethodConfig]] = {
    "stereo": without_stereo,
    "planar": without_planar,
    "three-phase": without_three_phase,
    "ms": without_ms,
}
"""The ablations of Fig. 7."""


def method_named(
    preset: str,
    without: Sequence[Part] = (),
    phase2_loss: Phase2Loss | None = None,
    changes: Mapping[str, Any] | None = None,
) -> MethodConfig:
    """Every number of a run.

    Args:
        preset: numbers (`default`, `paper`, …), a method at the default's numbers
            (`stablesds-3d`, …), or both as `paper:stablesds-3d`.
        without: parts to leave out.
        phase2_loss: loss of the 2D prior in Phase II, instead of the method's.
        changes: single numbers by dotted name, applied last.

    Raises:
        UnknownPreset: there is no such preset or method; the message lists them.
        ConfigError: a change has an unknown name or a wrong value.
    """
    numbers, _, name = preset.rpartition(":")
    if name in METHODS and (not numbers or numbers in PRESETS):
        method = _with_method(numbers or "default", name)
    elif not numbers and name in PRESETS:
        method = preset_named(name)
    else:
        raise UnknownPreset(
            f"There is no preset {preset!r}.\nChoose one with --preset: {', '.join(PRESETS)}; "
            f"a method at the default's numbers: {', '.join(METHODS)}; or both, such as "
            f"paper:stablesds-3d."
        )
    for part in without:
        method = WITHOUT[part](method)
    if phase2_loss is not None:
        method = replace(method, geometry=replace(method.geometry, planar=phase2_loss))
    return with_changes(method, changes or {})


def method_of(config: GenerateConfig) -> MethodConfig:
    """Every number of the run that is asked for.

    Raises:
        UnknownPreset, ConfigError: as of `method_named`.
    """
    without = parts_named(config.without)
    return method_named(config.preset, without, config.phase2_loss, config.method)


class NamesPriors(Protocol):
    """Options of a command that may name priors of the bundle."""

    @property
    def prior_2d(self) -> str | None: ...
    @property
    def prior_3d(self) -> str | None: ...


def priors_of(config: NamesPriors, method: MethodConfig) -> tuple[str | None, str | None]:
    """Names of the 2D and the 3D prior: the command's, else the method's; None for the default."""
    return config.prior_2d or method.prior_2d, config.prior_3d or method.prior_3d


def changes_of(config: GenerateConfig) -> dict[str, Any]:
    """Returns a run's changes of its preset's numbers: dotted name → value as JSON data."""
    base = method_named(config.preset, parts_named(config.without), config.phase2_loss)
    return difference(base, method_of(config))


def change_rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns a run's changes of its preset: dotted name, and the new value beside the preset's.

    Args:
        settings: what `config.json` holds.
    """
    base = method_named(
        settings["preset"], settings.get("without", ()), settings.get("phase2_loss")
    )
    before = {name: value for name, _, value in leaves(base)}
    return [
        (name, f"{_shown(value)} (preset: {_shown(before.get(name))})")
        for name, value in settings.get("changes", {}).items()
    ]


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
