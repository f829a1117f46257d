import os
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shears.inference import compiled
from shears.inference.c_code import LANES, write_c
from shears.inference.compiled import CompiledNetwork, compile_c
from shears.runtime.errors import UserError
from tests.unit.inference.c_programs import (
    assert_equal_logits,
    needs_compiler,
    random_network,
)

NETWORK = random_network((3, 4, 5, 2, 17), 0.5)
IMAGES = np.random.default_rng(2).random((67, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> CompiledNetwork:
    folder = tmp_path_factory.mktemp("compiled")
    return compile_c(write_c(NETWORK), folder / "new")


@needs_compiler
@pytest.mark.parametrize("count", [0, 1, 2, 16, 31, 67])
def test_logits_are_the_networks(network, count):
    images = IMAGES[:count]
    for threads in (1, 2, 3):
        logits = network.predict(images, threads)
        assert logits.shape == (count, 10)
        if count:
            assert_equal_logits(NETWORK, images, logits)


@needs_compiler
def test_any_array_of_images_will_do(network):
    expected = network.predict(IMAGES)
    flipped = network.predict(IMAGES[:, :, ::-1].copy()[:, :, ::-1])
    np.testing.assert_array_equal(flipped, expected)
    np.testing.assert_array_equal(network.predict(list(IMAGES)), expected)
    with pytest.raises(ValueError, match=r"found \(2, 32, 32\), expected \(N, 32"):
        network.predict(np.zeros((2, 32, 32)))


@needs_compiler
def test_threads_with_a_workspace_each_do_not_disturb_each_other(network):
    expected = network.predict(IMAGES)
    np.testing.assert_allclose(network.predict(IMAGES, threads=2), expected, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        for logits in pool.map(network.predict, [IMAGES] * 40):
            np.testing.assert_array_equal(logits, expected)


@needs_compiler
def test_images_of_one_vector_are_not_handed_to_another_thread(network, monkeypatch):
    def forbidden(*_):
        raise AssertionError("another thread")

    monkeypatch.setattr(network._threads, "map", forbidden)
    for count in (1, LANES):
        assert_equal_logits(NETWORK, IMAGES[:count], network.predict(IMAGES[:count], 2))
    with pytest.raises(AssertionError, match="another thread"):
        network.predict(IMAGES[: LANES + 1], 2)


@needs_compiler
def test_two_networks_of_a_name_and_folder_do_not_mix(network):
    other = random_network((1, 1, 1, 1, 1), 1)
    second = compile_c(write_c(other), network.library.parent)
    assert_equal_logits(other, IMAGES, second.predict(IMAGES))
    assert_equal_logits(NETWORK, IMAGES, network.predict(IMAGES))


@needs_compiler
def test_nothing_but_the_library_is_left(network, tmp_path):
    compile_c(write_c(NETWORK), tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]


def test_a_machine_without_compiler_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiled.find_compiler() is None
    with pytest.raises(UserError, match="found no C compiler, expected one of cc, gcc"):
        compile_c(write_c(NETWORK), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_fails_is_told_in_a_line(tmp_path):
    def fake(name: str, lines: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    cases = {
        fake("fails", "echo 'x.c:1: error: no\nmore' >&2; exit 3"): (
            "failed with code 3: x.c:1: error: no"
        ),
        fake("silent", "exit 1"): "failed with code 1: no message",
        str(tmp_path / "missing"): "does not run: .*No such file",
    }
    for path, expected in cases.items():
        with pytest.raises(UserError, match=expected) as error:
            compile_c(write_c(NETWORK), tmp_path / "out", path)
        assert "\n" not in str(error.value) and path in str(error.value)
        assert os.listdir(tmp_path / "out") == []


def test_a_compiler_that_hangs_is_stopped(tmp_path, monkeypatch):
    path = tmp_path / "hangs"
    path.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(compiled, "LONGEST", 0.2)
    with pytest.raises(UserError, match="did not end within"):
        compile_c(write_c(NETWORK), tmp_path / "out", str(path))
