"""Numbers and words of batches. No torch here."""

ATTEMPTS = 3
"""Processes that may die on a job before it fails (no value in the paper): more than one, since the
system may kill any process, and few, since a prompt that exhausts the memory does so again."""
MOST_SEEDS = 1_000_000
"""More seeds than this are refused: they cannot be meant."""
MOST_WORKERS = 1024
"""More workers than this are refused: each holds the networks."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds of `0..3` (both ends included), `7`, or `0..3,7`.

    Raises:
        ValueError: the text is something else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dots, last = (piece.strip() for piece in part.partition(".."))
        ends = (first, last) if dots else (first, first)
        if not all(end.isascii() and end.isdecimal() for end in ends):
            raise ValueError(f"--seeds wants whole numbers, such as 0..3 or 0,5,7; got {text!r}")
        low, high = map(int, ends)
        if not low <= high < 2**63 or high - low >= MOST_SEEDS:
            raise ValueError(
                f"--seeds wants first..last with first <= last, below 2^63, and at most "
                f"{MOST_SEEDS} seeds; got {text!r}"
            )
        seeds += range(low, high + 1)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds names a seed twice: {text!r}")
    return tuple(seeds)
