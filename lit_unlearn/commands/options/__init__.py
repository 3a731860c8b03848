"""Words of the command line become options: parsers, shipped configs, errors of one line."""
