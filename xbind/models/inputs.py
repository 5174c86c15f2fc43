"""Settings of the inputs of the audio and depth encoders; they belong to a bundle."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class FbankConfig:
    """Preprocessing of an audio encoder; the defaults are ImageBind's."""

    sample_rate: int = 16_000
    """Samples per second."""
    clips: int = 3
    """Clips taken from one sound."""
    clip_seconds: float = 2.0
    """Length of a clip, in seconds."""
    mels: int = 128
    """Mel filters."""
    frames: int = 204
    """Frames of a clip after padding or cutting (2 s give 198)."""
    window_ms: float = 25.0
    """Length of an analysis window, in milliseconds."""
    shift_ms: float = 10.0
    """From one window to the next, in milliseconds."""
    preemphasis: float = 0.97
    """Kaldi's high-pass: x[i] − preemphasis · x[i−1]."""
    low_hz: float = 20.0
    """Lower edge of the lowest filter; the upper edge of the highest is half the sample rate."""
    mean: float = -4.268
    """Mean of the logarithmic energies in ImageBind's training data."""
    std: float = 9.138
    """Their standard deviation."""
    quietest_peak: float = 0.05
    """Least peak of the windows that are heard, as a share of full scale; a quieter sound is
    amplified to it. The encoder was trained without normalisation, so a level that it knows is left
    as it is; −26 dB is our choice, ImageBind's authors name none."""
    loudest_peak: float = 1.5
    """Greatest peak, likewise: decoded MP3 exceeds full scale by up to 3 dB."""
    cut_silence: bool = False
    """Whether a sound that is shorter than a clip is cut out of the silence around it, and so is
    repeated; for encoders that have not been trained on sounds in silence, as ImageBind has."""

    def __post_init__(self) -> None:
        if min(self.clips, self.mels, self.frames) < 1:
            raise ValueError("clips, mels and frames must be at least 1")
        if self.clip_samples() < self.window_samples():
            raise ValueError(f"a clip of {self.clip_seconds} s is shorter than one window")
        if not 0 < self.quietest_peak <= self.loudest_peak:
            raise ValueError(
                f"0 < quietest_peak ≤ loudest_peak is wanted, got {self.quietest_peak} and "
                f"{self.loudest_peak}"
            )

    def clip_samples(self) -> int:
        """Samples of one clip."""
        return int(self.clip_seconds * self.sample_rate)

    def window_samples(self) -> int:
        """Samples of one analysis window."""
        return int(self.sample_rate * self.window_ms * 0.001)

    def shift_samples(self) -> int:
        """Samples from one window to the next."""
        return int(self.sample_rate * self.shift_ms * 0.001)


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthConfig:
    """Preprocessing of a depth encoder; the defaults are ImageBind's."""

    scale: Literal["metric", "relative"] = "metric"
    """`metric`: disparity in pixels of `baseline_focal`, in units of `max_disparity`.
    `relative`: divided by the picture's own largest, so that the unit of length does not matter."""
    baseline_focal: float = 0.075 * 518.857901
    """Baseline (m) times focal length (pixels): a Kinect's."""
    max_disparity: float = 75.0
    """Disparities above this, in pixels, are clamped to it (`metric` only)."""
    mean: float = 0.0418
    """Subtracted at the end."""
    std: float = 0.0295
    """Divided by at the end."""
