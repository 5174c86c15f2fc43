"""The augmentations of the modality similarity loss (Eq. 2)."""
