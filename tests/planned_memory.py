"""What MXNet plans to allocate, read from a bound executor."""

import re


def planned(executor):
    """The MB that MXNet says it will allocate for the arrays of an executor."""
    return int(re.search(r"Total (\d+) MB allocated", executor.debug_str()).group(1))
