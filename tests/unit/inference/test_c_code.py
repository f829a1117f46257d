import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shears.inference.c_code import CCode, write_c
from shears.inference.compaction import CompactNetwork, compact
from shears.weight_files.canonical import read_weights
from tests import ROOT
from tests.unit.inference.c_programs import (
    BARE_MAIN,
    MAIN,
    STRICT,
    assert_equal_logits,
    build,
    load,
    narrow_network,
    needs,
    needs_compiler,
    random_network,
    run,
    with_zeros,
)
from tests.unit.inference.common import IMAGES, make_network

LANES = ("", "-DSHEARS_LANES=1", "-DSHEARS_LANES=4", "-DSHEARS_LANES=8")
LANES += ("-DSHEARS_LANES=16",)
CORTEX_M7 = ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16")
# A lane for each image of a vector, and some that are left over.
BATCH = np.random.default_rng(1).random((19, 32, 32, 3)).astype(np.float32)
BATCH[:4] = IMAGES


@pytest.fixture(scope="module")
def reference() -> CompactNetwork:
    return compact(read_weights(ROOT / "reference/my_model_weights.h5"))


@pytest.fixture(scope="module")
def reference_code(reference) -> CCode:
    return write_c(reference)


def assert_same_function(network: CompactNetwork, flags: str, *others: str) -> None:
    """Compiles a network and compares its logits, of batches and of single images."""
    with tempfile.TemporaryDirectory() as folder:
        flag = [flags] if flags else []
        compiled = load(write_c(network), Path(folder), "-O1", *flag, *others)
    assert_equal_logits(network, BATCH, compiled.predict(BATCH))
    single = np.concatenate([compiled.predict(image[None]) for image in BATCH[:5]])
    assert_equal_logits(network, BATCH[:5], single)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("lanes", LANES)
# A smaller seed would be no simpler network.
@settings(max_examples=8, derandomize=True, deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32 - 1))
def test_logits_are_the_networks_whatever_the_zeros(lanes, seed):
    assert_same_function(narrow_network(seed), lanes)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_logits_are_those_of_a_network_before_and_after_compaction(seed):
    parameters = make_network(seed)
    assert_same_function(with_zeros(parameters), "")
    assert_same_function(compact(parameters), "")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("flags", ["", "-DSHEARS_SINGLE"])
def test_logits_are_the_networks_at_full_speed(flags, reference):
    fast = ("-O3", "-march=native", "-ffp-contract=fast")
    assert_same_function(reference, flags, *fast)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("lanes", ["", "-DSHEARS_LANES=1"])
@pytest.mark.parametrize(
    ("widths", "density"),
    [
        ((1, 1, 1, 1, 1), 1),
        ((32, 32, 64, 64, 40), 1),
        ((32, 32, 64, 64, 512), 0),
        ((3, 1, 5, 2, 17), 0.5),
        ((0, 0, 0, 0, 0), 1),
    ],
)
def test_networks_may_have_any_widths(widths, density, lanes):
    assert_same_function(random_network(widths, density), lanes)


@needs_compiler
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("lanes", LANES)
def test_compilers_have_nothing_to_say(compiler, lanes, tmp_path):
    flags = ("-O0", "-Wconversion", "-Wno-sign-conversion", "-Wno-float-conversion")
    network = random_network((3, 4, 5, 2, 17), 0.5)
    for each in (network, random_network((0,) * 5, 1)):
        code = write_c(each)
        build(code, tmp_path, *flags, *filter(None, [lanes]), compiler=needs(compiler))


@needs_compiler
def test_the_header_is_cpp_too(tmp_path):
    code = write_c(random_network((1, 1, 1, 1, 1), 1))
    (tmp_path / "shears.h").write_text(code.header, encoding="utf-8")
    (tmp_path / "main.cpp").write_text('#include "shears.h"\n', encoding="utf-8")
    run(needs("g++"), "-Wall", "-Wextra", "-Werror", "-c", "main.cpp", cwd=tmp_path)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("lanes", [*LANES, "-DSHEARS_SINGLE"])
def test_sanitizers_find_nothing(lanes, tmp_path):
    network = narrow_network(5)
    code = write_c(network)
    (tmp_path / "main.c").write_text(MAIN, encoding="utf-8")
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    flags = ["-O1", *filter(None, [lanes]), *sanitize]
    build(code, tmp_path, *flags)
    compiler = needs("cc")
    run(compiler, *STRICT, *flags, "main.c", "shears.o", "-o", "main", cwd=tmp_path)
    counts = (1, 16, 19)
    content = b"".join(
        np.uint32(n).tobytes() + BATCH[:n].tobytes() for n in (0, *counts)
    )
    process = run(tmp_path / "main", input=content)
    logits = np.frombuffer(process.stdout, np.float32).reshape(-1, 10)
    start = 0
    for count in counts:
        for _ in ("a batch", "image by image"):
            actual = logits[start : start + count]
            assert_equal_logits(network, BATCH[:count], actual)
            start += count
    assert start == len(logits)


@needs_compiler
def test_no_static_data_is_written_and_nothing_else_is_linked(reference_code, tmp_path):
    target = build(reference_code, tmp_path, "-O3", "-ffreestanding")
    symbols = run(needs("nm"), target).stdout.decode()
    kinds = {line.split()[-2]: line.split()[-1] for line in symbols.splitlines()}
    # memcpy and memset are what compilers may always call.
    undefined = set(re.findall(r" U (\w+)", symbols)) - {"memcpy", "memset"}
    assert not kinds.keys() & set("BbDdCGgSs")
    assert undefined <= {"_GLOBAL_OFFSET_TABLE_"}


@needs_compiler
def test_the_reference_submission_stays_within_its_sizes(reference_code, tmp_path):
    target = build(reference_code, tmp_path, "-O3", "-march=native")
    sizes = run(needs("size"), target).stdout.decode().splitlines()[1].split()
    text, data, bss = map(int, sizes[:3])
    assert reference_code.constants < text < 250_000
    assert data == bss == 0
    assert reference_code.single_workspace < reference_code.workspace < 512_000


def test_the_sizes_in_the_header_are_the_workspaces(reference_code):
    floats = [int(n) for n in re.findall(r"memory\[(\d+)\]", reference_code.header)]
    assert floats == [
        reference_code.single_workspace // 4,
        reference_code.workspace // 4,
    ]
    for number in (reference_code.constants, reference_code.workspace):
        assert f"{number:,}" in reference_code.header


def test_the_same_network_gives_the_same_text():
    network = random_network((3, 4, 5, 2, 17), 0.5)
    assert write_c(network) == write_c(network)
    assert "@" not in write_c(network).source + write_c(network).header


def test_weights_are_written_exactly():
    network = random_network((3, 4, 5, 2, 17), 1)
    text = re.search(r"weight_2\[\d+\] = {(.+?)}", write_c(network).source, re.DOTALL)
    numbers = [float(t.strip().removesuffix("f")) for t in text[1].split(",")]
    expected = network.kernels[1].transpose(3, 1, 2, 0).ravel()
    np.testing.assert_array_equal(np.array(numbers, np.float32), expected)


def test_names_are_prefixes():
    code = write_c(random_network((1, 1, 1, 1, 1), 1), "mine")
    assert "void mine_logits(" in code.header and "MINE_SINGLE" in code.header
    with pytest.raises(ValueError, match="expected a C identifier"):
        write_c(random_network((1, 1, 1, 1, 1), 1), "not mine")


@pytest.mark.slow
@pytest.mark.parametrize("optimize", ["-Os", "-O2"])
def test_it_builds_for_a_microcontroller(optimize, reference_code, tmp_path):
    compiler = needs("arm-none-eabi-gcc")
    flags = [*CORTEX_M7, optimize, "-DSHEARS_SINGLE"]
    target = build(reference_code, tmp_path, *flags, compiler=compiler)
    sizes = run(needs("arm-none-eabi-size"), target).stdout.decode().splitlines()
    flash, data, bss = map(int, sizes[1].split()[:3])
    assert flash < 250_000
    assert data == bss == 0
    assert reference_code.single_workspace < 128_000


@pytest.mark.slow
def test_an_emulated_microcontroller_computes_the_same(reference, tmp_path):
    compiler, emulator = needs("arm-none-eabi-gcc"), needs("qemu-system-arm")
    images = BATCH[1:3]
    flags = [*CORTEX_M7, "-O2", "-DSHEARS_SINGLE"]
    build(write_c(reference), tmp_path, *flags, compiler=compiler)
    pixels = ",".join(f"{pixel:.9e}f" for pixel in images.ravel())
    (tmp_path / "main.c").write_text(
        f"#define COUNT {len(images)}\n{BARE_MAIN}"
        f"const float images[COUNT][3072] = {{{pixels}}};\n",
        encoding="utf-8",
    )
    places = ["--section-start=.vectors=0", "-Ttext=0x100", "-Tbss=0x20000000"]
    link = ["-nostartfiles", *(f"-Wl,{place}" for place in (*places, "-estart"))]
    run(compiler, *flags, *link, "main.c", "shears.o", "-o", "main", cwd=tmp_path)
    machine = ["-M", "mps2-an500", "-display", "none", "-monitor", "none"]
    console = ["-serial", "none", "-chardev", "file,id=console,path=output"]
    semihosting = ["-semihosting-config", "enable=on,target=native,chardev=console"]
    command = [emulator, *machine, *console, *semihosting, "-kernel", "main"]
    run(*command, cwd=tmp_path, timeout=120)
    output = (tmp_path / "output").read_text(encoding="utf-8").split()
    logits = np.array([int(word, 16) for word in output], np.uint32).view(np.float32)
    assert_equal_logits(reference, images, logits.reshape(-1, 10))
