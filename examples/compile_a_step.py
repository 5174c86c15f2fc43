"""Compile a guidance step of your own: a graph with its gradient inside, run by ONNX Runtime.

    python examples/compile_a_step.py

The step pulls a view towards a latent of the 2D prior's autoencoder,

    loss = ½ ‖E(x) − z*‖²  (a sum over the latent, a mean over the views),   x̄ = ∂loss/∂x,

and returns loss and x̄. It is recorded once, written as ONNX, compared with torch on inputs that
were not recorded, and then called like any step of the package: `guide` makes it differentiable.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import tyro
from torch import Tensor, nn

from xbind.diffusion.latents import Vae, encode, latent_loss
from xbind.engine.eager import EagerBackend
from xbind.engine.ort import MODEL, OrtBackend
from xbind.engine.step import EngineStep
from xbind.export.onnx_graph import lower, save
from xbind.export.parity import TOLERANCES, Figure, gate, measure
from xbind.export.record import record
from xbind.losses.step import guide
from xbind.networks.loaded import load_networks


class LatentMatch(nn.Module):
    """The step. `inputs` and `outputs` name its tensors; the first input is differentiated."""

    inputs = ("image", "target")
    outputs = ("loss", "x_bar")

    def __init__(self, vae: Vae) -> None:
        super().__init__()
        self.vae = vae
        self.eval().requires_grad_(False)

    @torch.enable_grad()
    def forward(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss [] of images [b, 3, h, w] in [0, 1], and its gradient."""
        image = image.detach().requires_grad_()
        loss = latent_loss(encode(self.vae, image) - target)
        (x_bar,) = torch.autograd.grad(loss, image)
        return loss.detach(), x_bar


def feeds(step: LatentMatch, size: int, seed: int) -> dict[str, Tensor]:
    """Returns an image [1, 3, size, size], and the latent of another one."""
    generator = torch.Generator().manual_seed(seed)
    image, other = torch.rand((2, 1, 3, size, size), generator=generator)
    with torch.no_grad():
        return {"image": image, "target": encode(step.vae, other)}


def milliseconds(
    run: Callable[[Mapping[str, Tensor]], object], given: Mapping[str, Tensor]
) -> float:
    """Returns the best wall time of ten calls, in milliseconds."""
    times = []
    for _ in range(10):
        started = time.perf_counter()
        run(given)
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main(*, steps: int = 20) -> tuple[list[Figure], list[float]]:
    """Compile the step, compare and time it, and optimise an image with it.

    Args:
        steps: gradient steps on the image.

    Returns:
        Parity with torch for each output, and the loss before each gradient step.
    """
    bundle = load_networks("mini", device="cpu").on_cpu()
    step = LatentMatch(bundle.unclip.vae)
    size = bundle.unclip.image_size
    recording = record(step, feeds(step, size, seed=1), step.outputs)
    graph = lower("latent_match", recording)
    with TemporaryDirectory() as folder:
        save(graph, Path(folder))
        engine = OrtBackend(graph.spec, Path(folder) / MODEL, threads=1)
    torch_step = EagerBackend(graph.spec, step)

    trials = [feeds(step, size, seed=seed) for seed in (2, 3)]  # not those that were recorded
    figures = measure(torch_step.run, engine.run, trials)
    gate(graph.spec.name, "ONNX Runtime", figures, TOLERANCES["float32"])
    print("parity:", "; ".join(map(str, figures)))
    print(
        f"torch {milliseconds(torch_step.run, trials[0]):.1f} ms, "
        f"ONNX Runtime {milliseconds(engine.run, trials[0]):.1f} ms"
    )

    compiled = EngineStep([engine])
    given = feeds(step, size, seed=4)
    image = given["image"].requires_grad_()
    optimizer = torch.optim.Adam([image], 0.02)
    losses = []
    for _ in range(steps):
        loss = guide(compiled, image, target=given["target"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    print(f"loss {losses[0]:.1f} → {losses[-1]:.1f} in {steps} steps")
    compiled.close()
    return figures, losses


if __name__ == "__main__":
    tyro.cli(main)
