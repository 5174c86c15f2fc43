"""The command line: parse, call, and turn an error the user can act on into a message."""
