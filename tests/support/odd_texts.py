"""Odd strings for tokenizers, drawn from a seed: the same on every machine."""

import random

MOJIBAKE = ["café", "naïve", "it’s", "“mug”", "Ærø", "—", "€5", "über", "🦆", "señor", "日本"]
PIECES = {
    "quotes": ["it’s", "‘red’", "“mug”", "„Becher“", "«tasse»", "don’t", "rock ’n’ roll", "5′ 6″"],
    "ligatures": ["ﬁne", "ﬂower", "eﬀort", "oﬃce", "ﬆyle", "ĳs", "ǆep", "ﬅ", "œuvre", "æther"],
    "wide": ["ＲＥＤ", "ｍｕｇ", "１２３", "！？", "（ｏｋ）", "ﾊﾝｶｸ", "　"],
    "emoji": ["🦆", "👩‍🚀", "❤️", "👍🏽", "🇩🇰", "☕", "1️⃣", "😀😀"],
    "entities": [
        "&amp;", "&lt;b&gt;", "&amp;amp;", "&eacute;", "&#39;", "&#x2019;", "&nbsp;", "&bogus;",
        "&quot;a&quot;", "&EACUTE;", "&amp;lt;",
    ],
    "marks": ["e\u0301", "n\u0303", "a\u0308\u0323", "Z\u0351a\u0346", "\u0130stanbul", "ﷺ", "ẞ"],
    "controls": [
        "\u0000", "\u0007bell", "\u001b[31mred\u001b[0m", "\ufeffmug", "a\u200bb", "a\u00adb",
        "\u2028", "\r\n", "\t", "\u0085", "\u001c", "\u202emug", "\ufffd",
    ],
    "numbers": ["12345", "3.14", "1,000", "½", "x²", "٣", "Ⅷ", "0x1F", "-7", "1e-5", "10%"],
    "contractions": ["I'm", "WE'LL", "they've", "he'd", "'tis", "y'all'd've", "o'clock", "'s"],
    "scripts": [
        "赤いマグ", "красная кружка", "κόκκινη", "ΣΊΣΥΦΟΣ", "כוס", "كوب أحمر", "लाल मग", "แก้ว",
        "빨간 머그", "红色杯子", "Ĳsselmeer",
    ],
    "specials": ["<|startoftext|>", "<|endoftext|>", "<b>red</b>", "</w>", "_a_", "\\n", "{}"],
    "plain": ["a red mug", "Blue CHAIR", "tall-lamp", "a  b", "...", "!!!???", "#mug", "@duck"],
}  # fmt: skip
"""Pieces by kind of oddity."""


def odd_texts(count: int = 600, seed: int = 0) -> list[str]:
    """Each piece alone, mojibake in three wrong codings, and random joins of pieces."""
    draw = random.Random(seed)
    texts = [piece for pieces in PIECES.values() for piece in pieces]
    for coding in ("latin-1", "cp1252", "mac_roman"):
        for text in MOJIBAKE:
            texts.append(text.encode().decode(coding, "replace"))
            texts.append(f"a {texts[-1]} mug")
    texts += ["mug " * 70, "x" * 300, "ﬁ" * 60, "&amp;" * 60, "it’s " * 20, ""]
    kinds = list(PIECES)
    while len(texts) < count:
        chosen = [draw.choice(PIECES[draw.choice(kinds)]) for _ in range(draw.randint(2, 6))]
        texts.append(draw.choice(["", " ", " ", "-", "\n"]).join(chosen))
    return texts
