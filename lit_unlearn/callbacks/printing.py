"""What callbacks print while a progress bar is live."""

from tqdm import tqdm


def print_lines(text: str) -> None:
    """Prints a text of any number of lines above live bars, in one write that ends with a line break.

    `print` writes the text and the line break apart. Between the two a live bar of rich holds the last line unfinished,
    and prints it again within each display of a notebook, until Python ends in a RecursionError.

    Args:
        text: without the last line break.
    """
    with tqdm.external_write_mode():
        print(f"{text}\n", end="")
