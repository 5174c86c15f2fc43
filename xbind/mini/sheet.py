"""Pictures in a grid."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from xbind.scene.mesh.turntable import to_frames


def save_sheet(path: Path, rows: Float[Tensor, "r n 3 s s"], *, columns: int = 1) -> None:
    """Write r rows of n pictures in [0, 1]; with `columns`, the rows go on beside each other."""
    per_column = -(-len(rows) // columns)
    blank = torch.ones(per_column * columns - len(rows), *rows.shape[1:])
    blocks = torch.cat([rows, blank]).split(per_column)
    wide = [torch.cat(list(block.unbind(1)), -1) for block in blocks]
    lines = to_frames(*wide)
    Image.fromarray(lines.flatten(0, 1).numpy()).save(path)
