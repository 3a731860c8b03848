"""Passwords and tokens within URLs, kept out of what is printed or written."""

import re

_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s'\"]*@", re.IGNORECASE)
_QUERY = re.compile(r"([?&;][\w-]*(?:password|passwd|token|secret|key)[\w-]*=)[^&\s'\"]+", re.IGNORECASE)


def masked(text: str) -> str:
    """The text without what its URLs have before an `@`, and without the values of their secret parameters.

    Example:
        >>> masked("https://me:hf_1@host/a cannot be read; nor s3://b?access_key=x&part=2")
        'https://***@host/a cannot be read; nor s3://b?access_key=***&part=2'
    """
    return _QUERY.sub(r"\1***", _USER.sub(r"\1***@", text))
