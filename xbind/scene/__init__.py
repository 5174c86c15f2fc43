"""The differentiable scene: cameras, NeRF, mesh."""
