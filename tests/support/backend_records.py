"""Other backends than those that there are, for the length of a test."""

from contextlib import contextmanager

from xbind.config.backends import BACKENDS


@contextmanager
def only(*records):
    """While open, these are the records, in this order; afterwards the old ones in theirs."""
    before = dict(BACKENDS)
    BACKENDS.clear()
    BACKENDS.update({record.name: record for record in records})
    try:
        yield
    finally:
        BACKENDS.clear()
        BACKENDS.update(before)
