"""Builds the zip that Gradescope takes as an autograder.

It holds ``setup.sh``, ``run_autograder``, a Dockerfile for other systems, the modules
of this package that grading imports, the packages to install, with checksums, the
settings and, if wanted, the test images. The same inputs give the same bytes.
"""

import ast
import io
import json
import re
import sys
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import shears
from shears.classroom.part_b import IMAGES
from shears.classroom.run_autograder import SETTINGS, module_of
from shears.data.dataset import Split
from shears.data.packed_images import pack
from shears.optimizer_study.fill import MODULE as SOLUTION
from shears.runtime.code_digest import PACKAGE, source_files
from shears.runtime.errors import UserError
from shears.runtime.files import whole_file

ROOT = Path(shears.__file__).parents[1]  #: the checkout
LOCK = ROOT / "envs/requirements.lock"
GRADER = ROOT / PACKAGE / "classroom/grader"  # files at the root of the zip
MAIN = "shears.classroom.run_autograder"
FETCH = "shears.classroom.fetch_images"  # only where the images are downloaded
#: What a student's notebook of Part A imports, and the kernel that runs it.
NOTEBOOK_PACKAGES = (
    *("ipykernel", "matplotlib", "tensorflow"),
    # Colab has them, too.
    *("ipywidgets", "pandas", "scikit-learn", "scipy", "seaborn", "tqdm"),
)
_PROGRAMS = {"run_autograder", "setup.sh"}  # executable
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


def _path_of(module: str) -> Path:
    """Returns a module's file."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def modules_of(parts: Collection[str], *, download: bool) -> list[Path]:
    """Lists the modules that grading imports or reads.

    Args:
        parts: Of "a" and "b".
        download: Whether ``setup.sh`` downloads the test images.

    Returns:
        Their files below `ROOT`, sorted.
    """
    starts = [MAIN, *map(module_of, parts), *([FETCH] if download else [])]
    if "a" in parts:  # it is read as text, to try tests with wrong solutions
        starts.append(SOLUTION)
    return sorted({path for s in starts for path in source_files(_path_of(s), ROOT)})


def packages_of(modules: Iterable[Path]) -> set[str]:
    """Lists the packages that modules import, other than Python's and this one."""
    names: set[str] = set()
    for path in modules:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    top = {name.partition(".")[0] for name in names}
    return {
        name.replace("_", "-") for name in top - sys.stdlib_module_names - {PACKAGE}
    }


def cut_lock(lock: str, packages: Iterable[str]) -> str:
    """Cuts the lock file down to some packages and what they need.

    Args:
        lock: Its text, as uv writes it: below each package is who needs it (``# via``).
        packages: Names.

    Returns:
        Requirements for pip, with checksums and without anything else.

    Raises:
        ValueError: A package is not in the lock.
    """
    entries = re.findall(r"^(\S+?)==(.*\n(?:    .*\n)*)", lock, re.MULTILINE)
    needed_by: dict[str, set[str]] = {}
    for name, text in entries:
        needed_by.setdefault(name, set()).update(re.findall(r"#.* (\S+)$", text, re.M))
        needed_by[name].update(re.findall(r"^    #   (\S+)$", text, re.M))
    needed, queue = set(packages), list(packages)
    if missing := needed - needed_by.keys():
        raise ValueError(f"{LOCK}: has no {', '.join(sorted(missing))}")
    while queue:
        parent = queue.pop()
        children = {name for name, parents in needed_by.items() if parent in parents}
        queue += children - needed
        needed |= children
    kept = [
        re.sub(r" \\\n(?=    #|$)", "\n", re.sub(r"    #.*\n", "", f"{name}=={text}"))
        for name, text in entries
        if name in needed
    ]
    return "".join(kept)


def _contents(points: Mapping[str, float], images: Split | None) -> dict[str, bytes]:
    """Makes all files of the zip, by name.

    Raises:
        UserError: The lock file is missing.
    """
    modules = modules_of(points, download="b" in points and images is None)
    files = {path.name: path.read_bytes() for path in GRADER.iterdir()}
    for path in modules:
        files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    packages = packages_of(modules)
    if "a" in points:
        packages |= {*NOTEBOOK_PACKAGES}
    try:
        lock = LOCK.read_text(encoding="utf-8")
    except OSError:
        raise UserError(
            f"{LOCK}: not found, and the autograder pins its packages by it: build the "
            "autograder in a checkout of Shears"
        ) from None
    files["requirements.lock"] = cut_lock(lock, packages).encode()
    files[SETTINGS] = json.dumps({"points": dict(points)}).encode()
    if images is not None and "b" in points:
        files[IMAGES] = pack(images)
    return files


def build(
    target: str | Path, points: Mapping[str, float], images: Split | None
) -> dict[str, int]:
    """Builds the zip.

    Args:
        target: The file to write.
        points: Points of the parts to grade, by "a" or "b".
        images: The test images to pack; None: ``setup.sh`` downloads them.

    Returns:
        The bytes that each file takes in the zip, by name.

    Raises:
        UserError: This is no checkout of Shears.
        OSError: The file cannot be written.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in sorted(_contents(points, images).items()):
            entry = zipfile.ZipInfo(name, _BEGINNING)
            entry.create_system = 3  # Unix, which has modes
            entry.external_attr = (0o100755 if name in _PROGRAMS else 0o100644) << 16
            stored = name == IMAGES
            entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
        sizes = {entry.filename: entry.compress_size for entry in archive.infolist()}
    with whole_file(target) as file:
        file.write(content.getbuffer())
    return sizes
