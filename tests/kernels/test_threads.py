"""Pieces of work: together they are the whole, and their number changes nothing."""

import pytest
import torch

from xbind.kernels import composite, hash_encode, march
from xbind.kernels.common.threads import in_pieces


@pytest.fixture
def threads():
    """Change torch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("grain", [1, 4])
def test_every_item_is_in_exactly_one_piece(count, number, grain, threads):
    threads(number)
    pieces = []

    def kernel(first, end, tag):
        pieces.append((first, end, tag))

    in_pieces(kernel, count, "argument", grain=grain)
    items = sorted(i for first, end, _ in pieces for i in range(first, end))
    assert items == list(range(count))
    assert len(pieces) == max(min(number, -(-count // grain)), 1)
    assert all(first % grain == 0 for first, _, _ in pieces)
    assert {tag for _, _, tag in pieces} == {"argument"}


def test_an_error_in_a_piece_is_raised(threads):
    threads(2)

    def kernel(first, end):
        raise ZeroDivisionError(f"{first} to {end}")

    with pytest.raises(ZeroDivisionError, match=r"[02] to [24]"):
        in_pieces(kernel, 4)


def test_results_do_not_depend_on_the_number_of_threads(threads):
    def everything():
        rng = torch.Generator().manual_seed(0)
        origins = torch.randn(41, 3, generator=rng) * 0.3
        directions = torch.nn.functional.normalize(torch.randn(41, 3, generator=rng), dim=-1)
        jitter = torch.rand(41, generator=rng)
        samples = march(origins, directions, None, radius=0.85, step=0.1, jitter=jitter)
        x = (samples.positions / 1.7 + 0.5).requires_grad_()
        table = torch.randn(2, 256, 2, generator=rng).requires_grad_()
        features = hash_encode(x, table, (5, 9))
        seen = composite(features[:, 0].exp(), features[:, 1:], samples)
        loss = seen.colour.square().sum() + seen.z_variance.sum()
        return samples.t, seen.colour, *torch.autograd.grad(loss, (x, table))

    threads(1)
    want = everything()
    threads(3)
    assert all(torch.equal(a, b) for a, b in zip(everything(), want, strict=True))
