"""MathJax, taken once from its npm package; afterwards the site is built without a network."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "3.2.2"
_SHA512 = "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw=="
"""Of the package, as the npm registry states it."""
_SCRIPT = "package/es5/tex-chtml.js"
_FONTS = "package/es5/output/chtml/fonts/woff-v2/"


def files(cache: Path) -> dict[str, bytes]:
    """The script and its fonts, by their paths beside each other.

    Args:
        cache: folder in which the package is kept.

    Raises:
        RuntimeError: the package cannot be fetched, or is not the one that is expected.
    """
    package = cache / f"mathjax-{VERSION}.tgz"
    if not package.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        _fetch(package)
    if base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() != _SHA512:
        raise RuntimeError(f"{package} is not the published package of MathJax {VERSION}; remove it, and build again")
    with tarfile.open(package) as archive:
        wanted = [one for one in archive if one.name == _SCRIPT or one.name.startswith(_FONTS)]
        return {one.name.removeprefix("package/es5/"): _read(archive, one) for one in wanted if one.isfile()}


def _fetch(package: Path) -> None:
    """By npm, whose own settings say which registry is asked."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            f"npm is not installed, which fetches MathJax; install it, or put {package.name} into {package.parent}"
        )
    with tempfile.TemporaryDirectory(dir=package.parent) as folder:
        subprocess.run([npm, "pack", f"mathjax@{VERSION}", "--silent"], cwd=folder, check=True, capture_output=True)
        (Path(folder) / package.name).rename(package)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # it is a file
    return file.read()
