"""HTML pages that need no network: templates, the 3D viewer, and the policy that keeps them so."""
