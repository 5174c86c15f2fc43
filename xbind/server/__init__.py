"""`xbind serve`: jobs on disk, worker processes, an HTTP interface and a page."""
