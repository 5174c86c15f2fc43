"""Triangle meshes: DMTet, rendering, files."""
