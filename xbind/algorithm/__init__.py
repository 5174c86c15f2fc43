"""Algorithm 1 of the paper.

| step of Algorithm 1 | file |
|---|---|
| the whole of it, on one page | `algorithm1` |
| reference view x_r, its mask and camera | `reference_view` |
| C_m, x_r and the fixed noise of a run | `supervision` (`make_condition`) |
| L_planar and L_stereo (Eq. 8, 9, 12, 13) | `supervision`, `views` |
| Phase I: NeRF | `phase1_nerf` |
| Phase II: geometry of a DMTet mesh on normal maps | `phase2_geometry` |
| Phase III: texture of that mesh | `phase3_texture`, `texture_init` |
| one iteration, its optimiser | `iteration`, `adan` |
"""
