"""Algorithm 1 of the paper.

| step of Algorithm 1 | file |
|---|---|
| the whole of it, on one page | `algorithm1` |
| reference view x_r, its mask and camera | `reference_view` |
| x_r as the 3D prior's condition, and the share of ω_3d | `stereo_condition` |
| C_m, x_r and the fixed noise of a run | `supervision` (`make_condition`) |
| L_planar and L_stereo (Eq. 8, 9, 12, 13) | `supervision`, `views` |
| Phase I: NeRF | `phase1_nerf` |
| Phases II and III: geometry of a mesh on its normal maps, then its texture | `surface_phase` |
| what they start from | `surface_start`, `texture_init` |
| one iteration, its optimiser | `iteration`, `optimizers`, `adan` |
"""
