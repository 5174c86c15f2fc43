"""Train the mini bundle: `python -m xbind.mini.train PART --work FOLDER [--samples N]`.

From nothing, in this order: world, vae, bind, encode, audio, depth, clip, unclip, view, zero123,
judge, decoder, assemble. Each part resumes from its checkpoint in FOLDER. To go on from the shipped
weights instead: world, unpack, encode, then any of the others, then assemble.
"""

import argparse
from pathlib import Path

import torch

from xbind.mini.train.parts import PARTS


def main() -> None:
    """Parse the part and its length, train it."""
    parser = argparse.ArgumentParser(prog="python -m xbind.mini.train", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--work", type=Path, required=True, help="folder of data and checkpoints")
    parser.add_argument("--samples", type=int, help="training samples in all, over all sittings")
    parser.add_argument("--decay", type=float, help="last part of the run with a falling rate")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    PARTS[given.part](given.work, given.samples, given.decay)


if __name__ == "__main__":
    main()
