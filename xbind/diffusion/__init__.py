"""What the diffusion priors share: noise schedule, timesteps, latents, guidance scale."""
