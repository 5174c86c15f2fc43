"""Training of the mini bundle from scratch: `python -m xbind.mini.train --help`."""
