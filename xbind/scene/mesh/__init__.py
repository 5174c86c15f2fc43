"""DMTet, the textured mesh, its renderer and its files."""
