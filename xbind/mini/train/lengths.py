"""How long, in which batches and how fast each part is trained by default."""

from xbind.mini.train.loop import LoopConfig

LENGTHS = {
    "vae": LoopConfig(samples=44_000, batch=12, learning_rate=2e-3, weight_decay=1e-4),
    "vae_decoder": LoopConfig(samples=30_000, batch=8, learning_rate=1e-3, weight_decay=1e-4),
    "bind": LoopConfig(
        samples=88_000, batch=96, learning_rate=1.2e-3, weight_decay=0.05, seed=1, ema=0.99
    ),
    "bind_audio": LoopConfig(
        samples=40_000, batch=96, learning_rate=1e-3, weight_decay=0.05, seed=2
    ),
    "bind_depth": LoopConfig(
        samples=40_000, batch=96, learning_rate=1e-3, weight_decay=0.05, seed=3
    ),
    "clip": LoopConfig(samples=60_000, batch=64, learning_rate=1e-3, weight_decay=0.05, seed=4),
    "unclip": LoopConfig(
        samples=1_400_000, batch=64, learning_rate=1e-3, ema=0.999, seed=5, bfloat16=True
    ),
    "zero123": LoopConfig(
        samples=1_400_000, batch=64, learning_rate=1e-3, ema=0.999, seed=6, bfloat16=True
    ),
    "judge": LoopConfig(samples=70_000, batch=64, learning_rate=2e-3, weight_decay=0.02, seed=7),
    "view": LoopConfig(samples=500_000, batch=64, learning_rate=2e-3, weight_decay=0.02, seed=8),
}
"""Name of the checkpoint → its configuration."""
BATCHES = {name: config.batch for name, config in LENGTHS.items()}
"""Samples per step of each part."""
