"""Changed copies of files: bytes, numbers at the limits of their type, values of JSON documents."""

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

_NUMBERS = (0, 1, -1, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_WORDS = (
    b"",
    b"\0",
    b"\xff" * 8,
    b"NaN",
    b"1e999",
    b"1e-320",
    b"-1",
    b"\x1b[31m",
    b"%s%n",
    b"[" * 64,
)
_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, 1e308, 1e-320, "", "x", "\x1b]0;t\x07", "../../x", "/etc",
    [], {}, [[]], {"a": 1},
)  # fmt: skip


def mutations(data: bytes, seed: int) -> Iterator[bytes]:
    """Changed copies of a file, without end, always the same for a seed."""
    draw = random.Random(seed)
    while True:
        yield _changed_json(data, draw) if draw.random() < 0.5 else _changed_bytes(data, draw)


def _changed_json(data: bytes, draw: random.Random) -> bytes:
    """One value, somewhere in a JSON document, replaced or removed; bytes if it is no JSON."""
    try:
        content = json.loads(data)
    except ValueError:
        return _changed_bytes(data, draw)
    for _ in range(draw.randint(1, 2)):
        owner, key, inner = None, None, content
        while isinstance(inner, dict | list) and inner and (owner is None or draw.random() < 0.7):
            owner = inner
            key = draw.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            inner = inner[key]
        if owner is None:
            return json.dumps(draw.choice(_VALUES)).encode()
        if draw.random() < 0.2:
            del owner[key]
        else:
            owner[key] = draw.choice(_VALUES)
    return json.dumps(content).encode()


def _changed_bytes(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << draw.randrange(8)
            case 1:
                size, order = draw.choice((1, 2, 4, 8)), draw.choice("<>")
                code = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
                number = draw.choice(_NUMBERS) % (1 << 8 * size)
                changed[at : at + size] = struct.pack(order + code, number)
            case 2:
                del changed[at : at + draw.choice((1, 4, 16, 256))]
            case 3:
                changed[at:at] = draw.choice(_WORDS)
            case 4:
                length = draw.choice((4, 16, 64))
                other = draw.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + length]
            case _ if draw.random() < 0.3:
                del changed[at:]
    return bytes(changed)
