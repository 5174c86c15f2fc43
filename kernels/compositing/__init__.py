"""Alpha compositing along rays."""
