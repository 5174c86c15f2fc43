"""Time `rasterize` on one large mesh, and compare the faces that it finds with the CPU's.

    python -P bench/bench_rasterizer.py [--triangles 600000] [--side 512] [--views 1]
                                        [--device cuda] [--json FILE]

Prints milliseconds of the search for the nearest face alone, of the whole operator, and of the
operator with its gradient. Exit status 1 if the device shows another face than numba anywhere.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from xbind.bench.kernel_cases import bumpy_ball
from xbind.bench.timing import describe_versions, device_name, quantiles_ms
from xbind.kernels import rasterize
from xbind.kernels.surface.operator import SurfaceImpl


def main() -> None:
    """Compare, measure, print."""
    arguments = _parse()
    device = torch.device(arguments.device)
    clip, faces = bumpy_ball(arguments.triangles, device)
    clip = clip.detach().expand(arguments.views, -1, -1).contiguous().requires_grad_()
    size = (arguments.side, arguments.side)
    impl: SurfaceImpl = "triton" if device.type == "cuda" else "numba"

    def forward() -> torch.Tensor:
        return rasterize(clip, faces, size, impl=impl)

    def both() -> None:
        rast = forward()
        torch.autograd.grad(rast, clip, torch.ones_like(rast))

    steps = {"operator_ms": forward, "with_gradient_ms": both}
    if impl == "triton":
        from xbind.kernels.surface import gpu_rasterize

        steps["search_ms"] = lambda: gpu_rasterize.nearest_faces(clip, faces, size)
    row: dict[str, object] = {
        "triangles": len(faces), "side": arguments.side, "views": arguments.views, "impl": impl,
        "differing_pixels": _differing(forward(), clip.detach(), faces, size),
        **{
            name: quantiles_ms(step, device, seconds=arguments.seconds).p50_ms
            for name, step in steps.items()
        },
        "device": device_name(device), "versions": describe_versions(),
    }  # fmt: skip
    print(json.dumps(row, indent=1))
    if arguments.json:
        with arguments.json.open("a") as file:
            file.write(json.dumps(row) + "\n")
    if row["differing_pixels"]:
        sys.exit("bench_rasterizer: not every pixel shows the face that the CPU finds.")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--triangles", type=int, default=600_000, help="about so many")
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=1.0, help="about so long per measurement")
    parser.add_argument("--json", type=Path, help="append one line")
    return parser.parse_args()


def _differing(
    rast: torch.Tensor, clip: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]
) -> int:
    """Pixels that show another face than numba finds."""
    want = rasterize(clip.cpu(), faces.cpu(), size, impl="numba")
    return int((rast.detach()[..., 3].cpu() != want[..., 3]).sum())


if __name__ == "__main__":
    main()
