"""Memory-saving options, cheapest first."""

from dataclasses import dataclass, replace

from xbind.config.options import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Savings:
    """Execution of the frozen networks. The defaults are the fastest and need the most memory."""

    precision: Precision = "float32"
    """Precision of the frozen networks in engines."""
    split_guidance: bool = False
    """Classifier-free guidance in two passes of batch b instead of one of 2b."""
    one_at_a_time: bool = False
    """Views, images of the MS loss and samples of the reference one after the other."""
    one_engine: bool = False
    """Only the engine that is running is loaded; else all engines of the current phase."""

    def at_once(self, count: int) -> int:
        """Returns how many of `count` views, images or samples go into one call of the networks."""
        return 1 if self.one_at_a_time else count

    def described(self) -> list[str]:
        """Returns the savings in words; empty for none."""
        return [
            words
            for is_on, words in (
                (self.precision != "float32", f"{self.precision} networks"),
                (self.split_guidance, "guidance in two passes"),
                (self.one_at_a_time, "views and images one at a time"),
                (self.one_engine, "one engine loaded at a time (slow)"),
            )
            if is_on
        ]


FASTEST = Savings()
"""No saving: the fastest way, whatever memory it takes."""


def ladder(precision: Precision, *, engines: bool) -> list[Savings]:
    """Every way to run, each needing less memory and more time than the one before.

    Args:
        precision: what was asked for; half is taken on the second rung if it was float32.
        engines: whether networks run in engines; eager torch keeps its one float32 copy loaded.
    """
    rungs = [Savings(precision=precision)]
    if engines and precision == "float32":
        rungs.append(replace(rungs[-1], precision="float16"))
    rungs.append(replace(rungs[-1], split_guidance=True))
    rungs.append(replace(rungs[-1], one_at_a_time=True))
    if engines:
        rungs.append(replace(rungs[-1], one_engine=True))
    return rungs
