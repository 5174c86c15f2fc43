"""The mini world and the training of the mini bundle; nothing at run time imports this package."""
