"""The lock files: every package has a checksum, and none is built at installation."""

import hashlib
import re

import pytest

from tests import ROOT

LOCKS = sorted(ROOT.glob("envs/**/*.lock"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_only_wheels_with_checksums_are_installed(lock):
    text = lock.read_text(encoding="utf-8")
    assert "--only-binary :all:" in text.splitlines()[:2]
    packages = re.findall(r"^[a-z0-9].*(?:\n    --hash.*)*", text, re.MULTILINE)
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9.-]+==\S+ ", package), package[:60]
        assert "\n    --hash=sha256:" in package, package[:60]
    assert not re.search("https?://|index-url", text)


def test_wheels_in_the_repository_are_the_locked_ones():
    wheels = list(ROOT.glob("envs/wheels/*.whl"))
    assert wheels
    for name in ("requirements.lock", "requirements-gpu.lock"):
        text = (ROOT / "envs" / name).read_text(encoding="utf-8")
        assert text.startswith("--find-links wheels\n")  # from the lock file's folder
        for wheel in wheels:
            assert hashlib.sha256(wheel.read_bytes()).hexdigest() in text
