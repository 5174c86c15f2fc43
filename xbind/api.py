"""The library: load a bundle once, make objects from prompts, open finished runs.

    pipe = xbind.load("mini")
    run = pipe("a red mug", seed=0)
    run.export("mug.stl")

The names of this module are attributes of `xbind`, imported on their first use. torch is imported
when networks are loaded.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from xbind.config.options import GenerateConfig, Modality, PromptConfig
from xbind.run.arguments import (
    GenerateOptions,
    LoadOptions,
    RunOptions,
    check_names,
    make_config,
    make_prompt,
)
from xbind.run.checks import CONFIG, check_folder
from xbind.run.inputs import ArrayInput, AudioInput, FilePath, ImageInput, remove_unused
from xbind.run.listener import Listener, OnStep
from xbind.run.progress import Reporter, choose_reporter
from xbind.run.result import Run
from xbind.run.resuming import started_config
from xbind.run.tensorboard import with_tensorboard

if TYPE_CHECKING:
    from xbind.networks.loaded import LoadedNetworks


class Pipeline:
    """A bundle with its networks in memory, for any number of runs; made by `load`.

    Engines stay open between the runs. Use it as a context manager, or call `close`, to unload
    them.
    """

    def __init__(self, networks: "LoadedNetworks", settings: Mapping[str, Any]) -> None:
        self._networks = networks
        self._settings = dict(settings)

    def __call__(
        self,
        text: str | None = None,
        *,
        image: "ImageInput | None" = None,
        audio: "AudioInput | None" = None,
        depth: "ArrayInput | ImageInput | None" = None,
        mix: Mapping[Modality, float] | None = None,
        seed: int = 0,
        preset: str = "default",
        method: Mapping[str, Any] | None = None,
        out: FilePath | None = None,
        on_step: OnStep | None = None,
        progress: bool = True,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Makes one textured mesh from one prompt, of one modality or several.

        Args:
            text: words, such as "a red mug".
            image: a picture of one object. An alpha channel is its mask.
            audio: a sound: a file, or samples [t] or [t, channels] in [−1, 1] with their rate in
                hertz, as in `(samples, 16000)`.
            depth: a depth map: a file, an array [h, w] in metres (whole numbers: millimetres), or
                a PIL image. 0 means not measured.
            mix: modality → weight, for prompts of several modalities, such as
                `{"text": 1, "audio": 2}`; only ratios matter, and 1 is the default.
            seed: of every random draw. The same seed on the same machine gives the same mesh.
            preset: name of the numbers or of a baseline.
            method: changes to the preset's numbers, such as `{"coarse.steps": 300}`.
            out: folder of the run. By default a temporary folder, which is removed with the `Run`
                or when Python ends; `Run.save` and `Run.export` keep what is wanted.
            on_step: called after every step. An exception in it ends the run, which can be
                resumed.
            progress: show messages and progress on standard error.
            **options: see `RunOptions`.

        Returns:
            The finished run.

        Raises:
            ArgumentError: an argument has a wrong value.
            XBindError: anything else that the caller can act on. An unfinished run stays in its
                folder; a note on the exception names a temporary one.
        """
        given: dict[str, Any] = {"text": text, "image": image, "audio": audio, "depth": depth}
        check_names(options, RunOptions)
        folder = Path(tempfile.mkdtemp(prefix="xbind-") if out is None else out)
        with _run_folder(folder, temporary=out is None):
            check_folder(folder, resume=False, overwrite=options.get("overwrite", False))
            prompt = make_prompt(given | dict(options), mix or {}, folder)
            config = make_config(
                {**options, "seed": seed, "preset": preset, "method": method or {}, "out": folder,
                 "prompt": prompt, **self._settings}
            )  # fmt: skip
            messages = _run(config, self._networks, on_step, progress)
            remove_unused(folder, asdict(prompt))
        return Run(folder, messages, temporary=out is None)

    def close(self) -> None:
        """Unloads the engines. The next run loads what it needs."""
        self._networks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def __repr__(self) -> str:
        return f"Pipeline({self._settings['bundle']!r} on {self._networks.device.type})"


def load(bundle: FilePath = "mini", **options: Unpack[LoadOptions]) -> Pipeline:
    """Loads the frozen networks of a bundle, for any number of runs.

    Engines are built and opened by the first run that needs them.

    Args:
        bundle: "mini", which is installed with xbind, or the folder of a bundle.
        **options: see `LoadOptions`. By default device, engine and precision are "auto" (float16
            on CUDA, float32 on a CPU), no memory budget is set, and one thread computes.

    Raises:
        ArgumentError: an option has a wrong value.
        XBindError: there is no such bundle or device, or a file of the bundle is damaged.
    """
    from xbind.networks.loaded import load_networks

    check_names(options, LoadOptions)
    settings = {"bundle": str(bundle), **options}
    config = make_config({"prompt": PromptConfig(text="-"), **settings})  # checks the values
    networks = load_networks(
        config.bundle, prior_2d=config.prior_2d, prior_3d=config.prior_3d, device=config.device,
        keep_engines=config.vram is None,
    )  # fmt: skip
    return Pipeline(networks, settings)


def generate(
    text: str | None = None,
    *,
    image: "ImageInput | None" = None,
    audio: "AudioInput | None" = None,
    depth: "ArrayInput | ImageInput | None" = None,
    mix: Mapping[Modality, float] | None = None,
    seed: int = 0,
    preset: str = "default",
    method: Mapping[str, Any] | None = None,
    out: FilePath | None = None,
    on_step: OnStep | None = None,
    progress: bool = True,
    bundle: FilePath = "mini",
    **options: Unpack[GenerateOptions],
) -> Run:
    """Makes one textured mesh: `load`, one call of the pipeline, and `close`.

    Args:
        text, image, audio, depth, mix, seed, preset, method, out, on_step, progress: as of
            `Pipeline.__call__`.
        bundle: as of `load`.
        **options: those of `load` and of `Pipeline.__call__`.

    Raises:
        XBindError: as of `load` and `Pipeline.__call__`.
    """
    check_names(options, GenerateOptions)
    loading = {k: v for k, v in options.items() if k in LoadOptions.__optional_keys__}
    running = {k: v for k, v in options.items() if k in RunOptions.__optional_keys__}
    with load(bundle, **cast(LoadOptions, loading)) as pipe:
        return pipe(
            text, image=image, audio=audio, depth=depth, mix=mix, seed=seed, preset=preset,
            method=method, out=out, on_step=on_step, progress=progress,
            **cast(RunOptions, running),
        )  # fmt: skip


def resume(folder: FilePath, *, on_step: OnStep | None = None, progress: bool = True) -> Run:
    """Continues the run in a folder from its last checkpoint, with its prompt and settings.

    The mesh is that of a run that was never interrupted.

    Args:
        folder: of the run.
        on_step, progress: as of a `Pipeline`.

    Raises:
        RunError: there is no run in the folder, or it is damaged.
        XBindError: as of `Pipeline.__call__`.
    """
    return Run(Path(folder), _run(started_config(Path(folder)), None, on_step, progress))


def open(folder: FilePath) -> Run:
    """Opens the run in a folder, finished or not, without loading a network.

    Raises:
        RunError: there is no run in the folder, or it is damaged.
    """
    return Run(Path(folder))


def run_config(
    config: GenerateConfig, reporter: Reporter, networks: "LoadedNetworks | None" = None
) -> None:
    """Makes the object that a configuration asks for; the command line and the library call it.

    Args:
        config: the settings.
        reporter: receives messages and progress.
        networks: that several runs share; by default the run loads its own.

    Raises:
        XBindError: anything that the caller can act on; what was written stays.
    """
    from xbind.run.preflight import check_generate

    check_generate(config)  # before the import of torch, which takes a while
    from xbind.pipeline import generate as run_pipeline

    with ExitStack() as stack:
        if config.tensorboard:
            reporter = stack.enter_context(with_tensorboard(reporter, config.out))
        run_pipeline(config, reporter, networks)


def _run(
    config: GenerateConfig,
    networks: "LoadedNetworks | None",
    on_step: OnStep | None,
    progress: bool,
) -> tuple[str, ...]:
    """Run with a reporter of the library's; returns the messages."""
    listener = Listener(choose_reporter(sys.stderr) if progress else None, on_step)
    with listener as reporter:
        run_config(config, reporter, networks)
    return tuple(listener.messages)


@contextmanager
def _run_folder(folder: Path, *, temporary: bool) -> Iterator[None]:
    """Tidy up where a run fails: a run that has begun stays, and the exception says where."""
    try:
        yield
    except BaseException as error:
        if (folder / CONFIG).is_file():
            if temporary:
                error.add_note(
                    f"The unfinished run is in {folder}; continue it with "
                    f"xbind.resume({str(folder)!r})."
                )
        elif temporary:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            remove_unused(folder, {})
        raise
