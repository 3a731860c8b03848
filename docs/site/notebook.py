"""A notebook as Markdown."""

import json
from pathlib import Path
from typing import Any


def markdown(path: Path) -> str:
    """Its texts, its code and the texts that its cells printed, in their order.

    Args:
        path: of the notebook.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(_cell(cell) for cell in cells) + "\n"


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    outputs = ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]
    return "\n\n".join([_block(source, "python"), *(_block(output, "text") for output in outputs)])


def _block(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
