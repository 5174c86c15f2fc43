"""Code shared by the diffusion priors: noise schedule, timesteps, latents, guidance scale."""
