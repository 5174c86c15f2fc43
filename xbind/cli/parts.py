"""`--part K/N` of the commands whose work can be shared between processes."""


def parse_part(text: str | None) -> tuple[int, int]:
    """Returns K and N of `K/N`, counted from 1; 1 and 1 for None.

    Raises:
        ValueError: the text is something else.
    """
    k, _, n = ("1/1" if text is None else text).partition("/")
    if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise ValueError(f"--part wants K/N with 1 <= K <= N, such as 1/2; got {text!r}")
    return int(k), int(n)
