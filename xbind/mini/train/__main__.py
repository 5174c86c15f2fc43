"""Train the mini bundle: `python -m xbind.mini.train PART --work FOLDER [--samples N] …`.

From nothing, in this order: world, vae, bind, encode, audio, depth, clip, unclip, view_words, view,
zero123, zero123_narrow, near_misses, judge, judge_2, decoder, assemble. Each part resumes from its
checkpoint in FOLDER. To go on from the shipped weights instead: world, unpack, encode, then any of
the others, then assemble. The view words are those of one 2D prior: after `unclip` they are trained
again.

A 2D prior for pictures of 128 px, with view words of its own: world --size 128 --detail 2, unpack,
vae, encode, unclip, then assemble --only unclip into a copy of a bundle.
"""

import argparse
import sys
from pathlib import Path

import torch

from xbind.errors import XBindError
from xbind.mini.train.assemble import only_components
from xbind.mini.train.lengths import CPU
from xbind.mini.train.options import positive, positive_number, share, training_device
from xbind.mini.train.parts import PARTS, TAKEN, Session
from xbind.mini.train.resolutions import RESOLUTIONS
from xbind.mini.world.categories import DETAILS


def main(argv: list[str] | None = None) -> None:
    """Parse the part and its options, and do it."""
    given = vars(_parser().parse_args(argv))
    part = given.pop("part")
    torch.set_num_threads(given.pop("threads"))
    options = {name: value for name, value in given.items() if value is not None}
    try:
        for name in options.keys() & TAKEN.keys():
            _check_taken(name, part)
        if "device" in options:
            options["device"] = training_device(options["device"])
        if options.get("cuda_graph") and options.get("device", CPU).type != "cuda":
            raise XBindError("--cuda-graph needs --device cuda.\nLeave it out, or give both.")
        if "export" in options and options["export"].resolve() == options["work"].resolve():
            raise XBindError(
                f"--export {options['export']} is the folder of --work, whose checkpoints it would "
                "replace.\nGive another folder."
            )
        session = Session(**options)
        session.work.mkdir(parents=True, exist_ok=True)
        PARTS[part](session)
    except XBindError as error:
        sys.exit(f"xbind.mini.train: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m xbind.mini.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--work", type=Path, required=True, help="folder of data and checkpoints")
    parser.add_argument(
        "--samples",
        type=positive,
        help="training samples in all, over all sessions, those of an unpacked bundle included; "
        "for world and near_misses: objects",
    )
    parser.add_argument("--batch", type=positive, help="samples per step")
    parser.add_argument(
        "--decay", type=share, help="last part of the run with a falling rate, above 0, at most 1"
    )
    parser.add_argument(
        "--learning-rate",
        type=positive_number,
        help="peak learning rate for the default batch; another --batch scales it by a square root",
    )
    parser.add_argument(
        "--min-snr-gamma",
        type=positive_number,
        help="weight the priors' loss by min(SNR, γ)/(SNR + 1); default: equal weights",
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the network, with channels last; default: on a GPU only",
    )
    parser.add_argument(
        "--cuda-graph",
        action=argparse.BooleanOptionalAction,
        help="record a step as a CUDA graph and replay it; default: on a GPU",
    )
    parser.add_argument(
        "--save-every", type=positive_number, help="seconds between two checkpoints; default: 90"
    )
    parser.add_argument(
        "--export",
        type=Path,
        help="folder that also gets the averaged weights in half precision with each checkpoint",
    )
    parser.add_argument(
        "--minutes",
        type=positive_number,
        help="end this session then at the latest, with the falling rate at its end",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where it computes; default: cpu")
    parser.add_argument("--workers", type=positive, help="processes that render; default: 1")
    parser.add_argument("--views", type=positive, help="rendered views of each object; default: 10")
    parser.add_argument(
        "--size", type=positive, choices=tuple(RESOLUTIONS), help="side of rendered views in px"
    )
    parser.add_argument(
        "--detail", type=positive, choices=DETAILS, help="detail of rendered objects; default: 1"
    )
    parser.add_argument("--bundle", type=Path, help="folder to assemble or unpack; default: mini")
    parser.add_argument(
        "--only",
        choices=only_components(),
        help="assemble this component alone, into a bundle that is there",
    )
    parser.add_argument("--threads", type=positive, default=1, help="of the CPU, per process")
    return parser


def _check_taken(option: str, part: str) -> None:
    """Refuse an option that would do nothing.

    Raises:
        XBindError: the part does not take it.
    """
    if part not in TAKEN[option]:
        takers = ", ".join(name for name in PARTS if name in TAKEN[option])
        flag = option.replace("_", "-")
        raise XBindError(f"{part} takes no --{flag}; these do: {takers}.\nLeave it out.")


if __name__ == "__main__":
    main()
