"""Compiles C code of networks in the tests, with any compiler and flags."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from shears.inference.c_code import CCode
from shears.inference.compaction import CompactNetwork, logits
from shears.inference.compiled import CompiledNetwork, find_compiler, write_files
from shears.model.parameters import Parameters

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
needs_compiler = pytest.mark.skipif(
    find_compiler() is None, reason="this machine has no C compiler"
)
# Reads numbers of images and the images; writes the logits of each batch, and then of
# each image by itself. The workspace is as large as it must be, and badly aligned.
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "shears.h"

int main(void)
{
    unsigned count;
    while (fread(&count, sizeof count, 1, stdin) == 1) {
        char *memory = malloc(sizeof(struct shears_workspace) + 4);
        struct shears_workspace *workspace = (void *)(memory + 4);
        float *images = malloc(count * 3072 * sizeof(float));
        float *logits = malloc(count * 20 * sizeof(float));
        if (fread(images, 3072 * sizeof(float), count, stdin) != count)
            return 1;
        shears_logits_batch(images, count, logits, workspace);
        for (unsigned i = 0; i < count; i++)
            shears_logits(images + 3072 * i, logits + 10 * (count + i), workspace);
        fwrite(logits, 20 * sizeof(float), count, stdout);
        free(memory);
        free(images);
        free(logits);
    }
    return 0;
}
"""

# For a Cortex-M7 without an operating system; writes the bits of logits through the
# debugger's interface, semihosting, and ends.
BARE_MAIN = """
#include <stdint.h>
#include "shears.h"

extern const float images[COUNT][3072];
static struct shears_workspace workspace;

static void call(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void start(void)
{
    *(volatile uint32_t *)0xE000ED88 |= 0xF00000; /* the FPU */
    __asm__ volatile("dsb\\n isb");
    for (int i = 0; i < COUNT; i++) {
        union { float logits[10]; uint32_t bits[10]; } of;
        shears_logits(images[i], of.logits, &workspace);
        for (int j = 0; j < 10; j++) {
            char text[10];
            for (int k = 0; k < 8; k++)
                text[k] = "0123456789abcdef"[of.bits[j] >> (28 - 4 * k) & 15];
            text[8] = ' ';
            text[9] = 0;
            call(4, text);
        }
    }
    call(0x18, (void *)0x20026);
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    0x20200000, (uintptr_t)start};
"""


def needs(program: str) -> str:
    """Returns the path of a program; skips the test if there is none."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"this machine has no {program}")
    return path


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[bytes]:
    """Runs a command; fails with what it says."""
    process = subprocess.run(command, capture_output=True, **options)
    assert process.returncode == 0, process.stderr.decode()
    return process


def build(code: CCode, folder: Path, *flags: str, compiler: str | None = None) -> Path:
    """Compiles the code alone; returns the object file."""
    compiler = compiler or find_compiler()
    assert compiler
    write_files(code, folder)
    target = folder / f"{code.name}.o"
    run(compiler, *STRICT, *flags, "-c", f"{code.name}.c", "-o", target, cwd=folder)
    return target


def load(code: CCode, folder: Path, *flags: str) -> CompiledNetwork:
    """Compiles with given flags only, and loads the library."""
    build(code, folder, "-fPIC", *flags)
    library = folder / f"{code.name}.so"
    run(find_compiler(), "-shared", f"{code.name}.o", "-o", library, cwd=folder)
    return CompiledNetwork(code, library)


def random_network(widths: tuple[int, ...], density: float) -> CompactNetwork:
    """Draws a network of any widths."""
    rng = np.random.default_rng(3)
    return _network(rng, widths, [density] * 5 + [1])


def narrow_network(seed: int) -> CompactNetwork:
    """Draws a network of few units with any pattern of zeros, which compiles fast."""
    rng = np.random.default_rng(seed)
    widths = *rng.integers(1, 10, 4), rng.integers(1, 40)
    sparsest = rng.choice([0, -1, -2])  # power of ten
    network = _network(rng, widths, 10 ** rng.uniform(sparsest, 0, 6))
    few = rng.choice([0, 0.1, 0.5])  # fraction of units without weights
    for kernel, bias in zip(*network, strict=True):
        kernel[..., rng.random(kernel.shape[-1]) < few] = 0
        inputs = kernel.reshape(-1, kernel.shape[-2], kernel.shape[-1])
        inputs[:, rng.random(kernel.shape[-2]) < few] = 0
        bias[rng.random(len(bias)) < few] = 0
    if rng.random() < 0.1:
        network.kernels[rng.integers(6)][...] = 0
    return network


def _network(
    rng: np.random.Generator, widths: Sequence[int], densities: Sequence[float]
) -> CompactNetwork:
    """Draws a network of given widths, and signals of a usual size."""
    inputs = (3, *widths[:3], 36 * widths[3], widths[4])
    kernels, biases = [], []
    for i, units in enumerate((*widths, 10)):
        shape = (3, 3, inputs[i], units) if i < 4 else (inputs[i], units)
        kernel = rng.normal(size=shape) * (rng.random(shape) < densities[i])
        kernel *= np.sqrt(2 / max(1, densities[i] * np.prod(shape[:-1])))
        kernels.append(kernel.astype(np.float32))
        biases.append(rng.normal(size=units).astype(np.float32))
    return CompactNetwork(tuple(kernels), tuple(biases))


def with_zeros(parameters: Parameters) -> CompactNetwork:
    """The network as it is, nothing left out."""
    return CompactNetwork(tuple(parameters.kernels), tuple(parameters.biases))


def assert_equal_logits(
    network: CompactNetwork, images: np.ndarray, actual: np.ndarray
) -> None:
    """Compares with logits in float64, up to the rounding of float32."""
    expected = logits(network, images.astype(np.float64)).numpy()
    assert actual.dtype == np.float32
    tolerance = 1e-5 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
