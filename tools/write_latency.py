"""Measures the reference submission's latency and writes docs/latency.md.

    python -m tools.write_latency              20 turns of each contender

Nothing else may run on the machine meanwhile. The dense network has random weights of
the same shapes: its runtimes compute the same whatever the values.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np

from shears.inference.c_code import CCode, write_c
from shears.inference.compaction import compact
from shears.inference.comparison import compare_file
from shears.inference.compiled import write_files
from shears.model.parameters import initial_parameters
from shears.reporting.charts import Chart, Rows, make_chart, save_chart
from shears.reporting.latency import latency_table
from shears.runtime import machine
from shears.runtime.device import prepare
from shears.runtime.files import whole_file
from shears.runtime.output import checked_output
from shears.weight_files.canonical import read_weights
from tests import ROOT
from tools.write_results import markdown_table, replace_part

PAGE = ROOT / "docs/latency.md"
PICTURE = ROOT / "docs/latency.png"
CORTEX_M7 = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard")
IMAGES = 1000  # of random pixels, that the compact network is checked with


def tabulate(about: Mapping[str, Any]) -> str:
    """Lays out what was measured of each contender."""
    header = ["network", "runtime", "file, kB", "by gzip, kB", "memory, MiB"]
    header += ["one image, µs", "95th percentile"]
    header += [f"images/s, threads: {peak['threads']}" for peak in about["peaks"]]
    rows = [
        [
            row["network"],
            row["runtime"],
            f"{row['bytes'] / 1000:,.0f}",
            f"{row['gzip_bytes'] / 1000:,.0f}",
            f"{row['memory'] / 2**20:,.0f}" if row["memory"] else "",
            f"{row['single']['median']:,.0f}",
            f"{row['single']['p95']:,.0f}",
            *(f"{rate:,.0f}" for rate in row["batches"]),
            f"{100 * row['share']:.0f} %",
        ]
        for row in latency_table(about)
    ]
    return markdown_table([*header, "of peak"], rows)


def compare(about: Mapping[str, Any]) -> str:
    """Lays out how many times as fast the C code is."""
    header = ["batch", "threads", "the fastest on the dense network"]
    header += ["C code, images a second", "times Keras' `predict`"]
    return markdown_table(
        header,
        [
            [
                str(row["batch"]),
                str(row["threads"]),
                row["rival"],
                f"{row['ratio']:.1f} times as many",
                f"{row['keras']:,.0f}",
            ]
            for row in about["speedups"]
        ],
    )


def draw(rows: Rows) -> Chart:
    """Draws the latency of one image in one thread: rows contender, latency."""
    base = make_chart(rows, "latency of each contender").encode(
        x=alt.X("latency:Q", scale=alt.Scale(type="log", padding=30)).title(
            "microseconds for an image in one thread (logarithmic)"
        ),
        y=alt.Y("contender:N", sort=None, title=None, axis=alt.Axis(grid=True)),
    )
    points = base.mark_point(filled=True, size=90)
    labels = base.mark_text(align="left", dx=9).encode(
        text=alt.Text("latency:Q", format=",.0f")
    )
    return Chart("latency", "Latency", "", [(points + labels).properties(height=300)])


def describe_microcontroller(code: CCode) -> str:
    """Says what the code takes on a Cortex-M7, if its compiler is here."""
    compiler, size = (shutil.which(f"arm-none-eabi-{name}") for name in ("gcc", "size"))
    if not compiler or not size:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        write_files(code, folder)
        target = Path(folder, "network.o")
        options = ["-std=c99", "-O2", *CORTEX_M7, f"-D{code.name.upper()}_SINGLE"]
        source = str(Path(folder, f"{code.name}.c"))
        subprocess.run([compiler, *options, "-c", source, "-o", target], check=True)
        sizes = subprocess.run(
            [size, target], capture_output=True, encoding="utf-8", check=True
        )
        text, data, bss, *_ = map(int, sizes.stdout.splitlines()[1].split()[:3])
    return (
        f"For a Cortex-M7 ({Path(compiler).name} -O2, single images) it takes "
        f"{text / 1000:,.0f} kB of flash and {code.single_workspace / 1000:,.0f} kB of "
        f"RAM, which the caller provides ({data + bss} bytes of static data). "
    )


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    threads = machine.count_cores()
    prepare(threads)
    parameters = read_weights(ROOT / "reference/my_model_weights.h5")
    images = np.random.default_rng(0).random((IMAGES, 32, 32, 3), np.float32)
    about = compare_file(
        parameters,
        images,
        runs=options.runs,
        threads=threads,
        dense=initial_parameters(0),
    )
    code = write_c(compact(parameters))
    host = machine.describe()
    peak = about["peaks"][0]
    network = about["networks"]["compact"]
    calls = about["timings"][0]["calls"]
    content = (
        f"{tabulate(about)}\n{compare(about)}\n"
        f"Medians of {calls} timed calls for one image and of {options.runs} for "
        "larger batches. Images a second are for batches of 256. The C code has "
        f"{code.constants / 1000:,.0f} kB of constants; a thread needs "
        f"{code.workspace / 1000:,.0f} kB of memory, or "
        f"{code.single_workspace / 1000:,.0f} kB for single images. "
        f"{describe_microcontroller(code)}"
        f"{network['multiply_adds_left'] / 1e6:.1f} million multiply-adds an image are "
        f"left of {about['networks']['dense']['multiply_adds'] / 1e6:.1f} million. The "
        f"peak is {peak['flops'] / 1e9:.0f} GFLOP/s (a product of two float32 matrices "
        f"in one thread), and memory is copied at {peak['bytes'] / 1e9:.0f} GB/s.\n\n"
        f"({host['cpu']}, {host['cores']} cores, {host['system']}, Python "
        f"{host['python']}, TensorFlow {host['tensorflow']}, commit {host['commit']})\n"
    )
    rows = [
        {
            "contender": f"{row['runtime']}, {row['network']}",
            "latency": row["single"]["median"],
        }
        for row in latency_table(about)
    ]
    with tempfile.TemporaryDirectory() as folder:
        save_chart(draw(rows), Path(folder, "latency.png"))
        picture = Path(folder, "latency.png").read_bytes()
    for path, data in (
        (PICTURE, picture),
        (PAGE, replace_part(PAGE.read_text("utf-8"), "latency", content).encode()),
    ):
        with whole_file(path) as file:
            file.write(data)


if __name__ == "__main__":
    with checked_output():
        main()
