"""A bundle that is loaded once and serves any number of runs."""

from collections.abc import Mapping

import torch

from xbind.config.options import DeviceChoice, EngineChoice
from xbind.engine.store import EngineStore, engines_folder
from xbind.errors import XBindError
from xbind.networks.frozen import Bundle
from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.networks.open_engines import OpenEngines
from xbind.networks.runtime import EngineRun, Part, RunNetworks
from xbind.networks.select import Report, compile_run
from xbind.system.device import choose_device

CPU = torch.device("cpu")


class LoadedMismatch(XBindError):
    """A run is given networks of another bundle, prior or device than its settings name."""


class LoadedNetworks:
    """The frozen networks of a bundle, and the engines that earlier runs have opened.

    A run depends on nothing that an earlier run left here: the same seed gives the same mesh as in
    a process of its own.
    """

    def __init__(
        self, manifest: BundleManifest, device: torch.device, *, keep_engines: bool = False
    ) -> None:
        """Read no weights yet: `on_cpu` does, and so does `compile`.

        Args:
            manifest: of the bundle, with its priors chosen.
            device: where runs compute.
            keep_engines: whether engines stay open after a stage, for the next run. Off, a stage
                closes its engines at its end, and less memory is needed.
        """
        self.manifest = manifest
        self.device = device
        self.keep_engines = keep_engines
        self._bundle: Bundle | None = None
        self._engines = OpenEngines()

    def on_cpu(self) -> Bundle:
        """The networks on the CPU, in float32: there prompts are encoded and engines are built.

        Those of an earlier run are moved back. Not to be called while a run computes elsewhere.

        Raises:
            BundleError: at the first call, if a file is missing, changed, or does not fit.
        """
        if self._bundle is None:
            self._bundle = load_bundle(self.manifest)
        return self._bundle.to(CPU) if self.device.type != "cpu" else self._bundle

    def check(self, manifest: BundleManifest, device: torch.device) -> None:
        """Refuse a run of other networks.

        Args:
            manifest: of the bundle that the run names, with its priors chosen.
            device: where the run is to compute.

        Raises:
            LoadedMismatch: says what differs.
        """
        for what, has, wanted in (
            ("bundle", self.manifest.name, manifest.name),
            ("content of the bundle", self.manifest.digest, manifest.digest),
            ("content of bundle.json", self.manifest.deciding, manifest.deciding),
            ("light of the bundle", self.manifest.light, manifest.light),
            ("2D prior", self.manifest.component_2d, manifest.component_2d),
            ("3D prior", self.manifest.component_3d, manifest.component_3d),
            ("device", self.device.type, device.type),
        ):
            if has != wanted:
                raise LoadedMismatch(
                    f"The {what} of this run is not the one that was loaded.\n"
                    f"  loaded:    {has}\n  this run:  {wanted}\n"
                    f"Load the networks that this run wants, or change its settings."
                )

    def compile(
        self,
        choice: EngineChoice,
        parts: Mapping[str, Part],
        *,
        threads: int,
        report: Report,
        keep_engines: bool | None = None,
    ) -> RunNetworks:
        """The networks of one run: see `compile_run`.

        Args:
            choice: backend of the engines, `eager`, `cuda-graphs`, or `auto`.
            parts: stage → the graphs that it runs, and how.
            threads: how many an engine may use.
            report: receives messages.
            keep_engines: other than that of this object, such as False under a memory budget.
        """
        keep = self.keep_engines if keep_engines is None else keep_engines
        if not keep:
            self.close()
        networks = compile_run(
            choice, self.on_cpu(), parts, EngineStore(engines_folder()),
            threads=threads, report=report, device=self.device,
        )  # fmt: skip
        if keep and isinstance(networks, EngineRun):
            networks.keep_open(self._engines)
        elif keep_engines is None and isinstance(networks, EngineRun):
            networks.look_ahead()
        return networks

    def close(self) -> None:
        """Close the engines that are open; the next run opens what it needs."""
        self._engines.close()


def load_networks(
    bundle: str = "mini",
    *,
    prior_2d: str | None = None,
    prior_3d: str | None = None,
    device: DeviceChoice = "auto",
    keep_engines: bool = True,
) -> LoadedNetworks:
    """Load a bundle for several runs.

    Args:
        bundle: name of an installed bundle, or the folder of one.
        prior_2d: name of one of its 2D priors; None takes the bundle's default.
        prior_3d: name of one of its 3D priors; None takes the bundle's default.
        device: where runs compute; `auto` is CUDA where it can be used.
        keep_engines: whether engines stay open from one run to the next.

    Raises:
        XBindError: there is no such bundle, prior or device, or a file of the bundle is damaged.
    """
    manifest = load_manifest(bundle).with_priors(prior_2d, prior_3d)
    loaded = LoadedNetworks(manifest, choose_device(device), keep_engines=keep_engines)
    loaded.on_cpu()
    return loaded
