#!/usr/bin/env python3
"""Runs all benchmarks and writes the measured part of docs/performance.md, and its plots.

    cmake --build build --target bench-report             # on a quiet machine, about 20 minutes
    bench/report.py --build build --min-time 0.1          # a third of the time, for medians of fewer
    bench/report.py --build build --only bench_softmax    # this section anew, the others as they are
    bench/report.py --build build --quick                 # a trial: writes to build/performance
"""

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is left beside the sources
from report_sections import COUNTERS, GOALS, SECTIONS

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

INCLUDES = """#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <xsimd/xsimd.hpp>
"""
HEED = "#include <heed/heed.hpp>\n"
ATTENTION = """#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
"""
FORWARD = """tensor call_{number}(const tensor& q, const tensor& k, const tensor& v) {{
    return heed::attention(q, k, v{parts});
}}
"""
BACKWARD = """auto call_{number}(const tensor& d, const tensor& q, const tensor& k, const tensor& v) {{
    const auto [o, stats] = heed::attention_forward(q, k, v{parts});
    return heed::attention_backward(d, o, stats, q, k, v{parts});
}}
"""
CHOICES = """#include <variant>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/dilated_window.hpp>
#include <heed/attention/modifiers/kerple.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/softmax_plus_one.hpp>
template <class... Parts>
std::variant<std::remove_cvref_t<Parts>...> one_of(const Parts&...);
Eigen::VectorXf numbers(8);
Eigen::MatrixXf biases(8, 8);
Eigen::Tensor<bool, 2, Eigen::RowMajor> sees(8, 8);
extern decltype(one_of(heed::standard_scale, heed::log_n_scale(512), heed::scale(1),
                       heed::cosine)) scale;
extern decltype(one_of(heed::causal, heed::sliding_window(8, 8), heed::dilated_window(8, 8, 2),
                       heed::boolean_mask(sees))) mask;
extern decltype(one_of(heed::soft_cap(30), heed::alibi(numbers), heed::bias(biases),
                       heed::kerple_log(numbers, numbers, 8))) modifier;
extern decltype(one_of(heed::softmax, heed::softmax_plus_one, heed::l2_softmax,
                       heed::sigmoid)) normaliser;
"""
CHOSEN = "scale, mask, modifier, normaliser"
COMBINATIONS = ["", "heed::causal", "heed::soft_cap(30)", "heed::causal, heed::soft_cap(30)",
                "heed::log_n_scale(512)", "heed::causal, heed::log_n_scale(512)",
                "heed::l2_softmax", "heed::causal, heed::l2_softmax",
                "heed::causal, heed::soft_cap(30), heed::l2_softmax"]


def calls(text, count):
    """A file with calls of attention of so many combinations of parts."""
    return ATTENTION + "".join(
        text.format(number=number, parts=f", {parts}" if parts else "")
        for number, parts in enumerate(COMBINATIONS[:count]))


def run_program(program, build, min_time):
    """The benchmarks of one program, as Google Benchmark's JSON has them."""
    command = [build / "bench" / program, "--benchmark_format=json",
               f"--benchmark_min_time={min_time}"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"{program} failed:\n{result.stderr}")
    # Google Benchmark ends well where none has run, and where one has reported an error.
    rows = json.loads(result.stdout)["benchmarks"]
    errors = [f"{row['name']}: {row['error_message']}" for row in rows if row.get("error_occurred")]
    if errors or not rows:
        sys.exit(f"{program} failed: {'; '.join(errors) or 'it has no benchmark'}")
    return rows


def compile_times(compiler, includes, times):
    """The least seconds of a processor, of several, to compile each of the files, by turns."""
    files = {"alone": INCLUDES, "heed": HEED, "attention": ATTENTION}
    for name, text in ("forward", FORWARD), ("backward", BACKWARD):
        files[f"{name}, 1"] = calls(text, 1)
        files[f"{name}, all"] = calls(text, len(COMBINATIONS))
        files[f"{name}, chosen"] = calls(text, 1) + CHOICES + text.format(number="chosen",
                                                                          parts=f", {CHOSEN}")
    seconds = {name: [] for name in files}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "one.cpp")
        for _ in range(times):
            for name, text in files.items():
                source.write_text(text)
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                subprocess.run([compiler, "-std=c++20", "-O3", "-march=native", "-c",
                                *(f"-I{path}" for path in includes), source, "-o", f"{source}.o"],
                               check=True)
                seconds[name].append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return {name: min(taken) for name, taken in seconds.items()}


def readable(name):
    """forward<float>/n:2048/manual_time is "forward float, n 2048"."""
    parts = [part for part in name.split("/")
             if part != "manual_time" and not part.startswith("iterations:")]
    return re.sub(r"[<>]", " ", ", ".join(parts).replace(":", " ").replace("_", " ")).replace(
        " ,", ",").strip()


def duration(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def goal_of(name):
    return next((goal for pattern, goal in GOALS if re.search(pattern, name)), "")


def table(section, rows):
    keys = [key for key in COUNTERS if any(key in row for row in rows)]
    timed = section.timed
    heads = ["", *(["time"] if timed else []), *(COUNTERS[key].heading for key in keys)]
    with_goal = any(goal_of(row["name"]) for row in rows)
    heads += ["to reach"] if with_goal else []
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [readable(row["name"])]
        cells += [duration(row["real_time"])] if timed else []
        cells += [COUNTERS[key].text(row[key], row["name"]) if key in row else "" for key in keys]
        cells += [goal_of(row["name"])] if with_goal else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compiled_table(seconds):
    def further(name):
        rest = seconds[f"{name}, all"] - seconds[f"{name}, 1"]
        return rest / (len(COMBINATIONS) - 1)

    def chosen(name):
        return seconds[f"{name}, chosen"] - seconds[f"{name}, 1"]

    def line(what, time, goal):
        return f"| {what} | {time} | {goal} |"

    alone = seconds["alone"]
    return "\n".join([
        "|  | seconds | to reach |", "|---|---|---|",
        line("including Eigen's Core and Tensor and xsimd", f"{alone:.2f}", ""),
        line("including `heed/heed.hpp`", f"{seconds['heed']:.2f}, {seconds['heed'] / alone:.2f} ×",
             "≤ 1.5 ×"),
        line("including `heed/attention/attention.hpp` and a few parts",
             f"{seconds['attention']:.2f}, {seconds['attention'] / alone:.2f} ×", ""),
        line("the first call of attention", f"+{seconds['forward, 1'] - seconds['attention']:.2f}",
             "≤ 2.6"),
        line("each further combination of parts", f"+{further('forward'):.2f}", "≤ 0.2"),
        line("the first call with backward",
             f"+{seconds['backward, 1'] - seconds['attention']:.2f}", "≤ 4"),
        line("each further combination with backward", f"+{further('backward'):.2f}", "≤ 0.45"),
        line("a call with four scales, masks, modifiers and normalisers to choose from",
             f"+{chosen('forward'):.2f}", ""),
        line("the same with backward", f"+{chosen('backward'):.2f}", "")])


def machine(compiler):
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    version = subprocess.run([compiler, "--version"], stdout=subprocess.PIPE, text=True).stdout
    return f"{model}, {os.cpu_count()} cores; {version.splitlines()[0]}; " \
           f"{time.strftime('%Y-%m-%d', time.gmtime())}"


def bars(plt, path, title, unit, values, limit):
    """Horizontal bars, and a line where the limit, or plain attention, is."""
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.28 * len(values)), dpi=72)
    names, lengths = zip(*reversed(values))
    axes.barh(names, lengths, color="#4878a8")
    axes.axvline(limit, color="black", linewidth=1)
    for at, length in enumerate(lengths):
        axes.text(length, at, f" {length:.3g}", va="center", fontsize=8)
    axes.set_xlim(0, 1.1 * max(limit, *lengths))
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(unit, fontsize=9)
    axes.tick_params(labelsize=8)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


# What the bars of performance_<name>.png show: name, title, unit, counter, programs, where the line is.
PICTURES = [
    ("shares", "share of the machine's limit", "%", "share",
     ("bench_forward", "bench_backward", "bench_decode"), 100),
    ("masks", "masks: time over plain attention", "×", "of_plain", ("bench_masks",), 1),
    ("modifiers", "other parts: time over plain attention", "×", "of_plain", ("bench_modifiers",), 1),
]


def draw_rows(plt, path, rows):
    """Milliseconds of a projection over its number of rows, heed's and Eigen's."""
    beside = [(int(re.search(r"rows:(\d+)", row["name"]).group(1)), row["real_time"] / 1e6,
               row["real_time"] / 1e6 / row["of_eigen"]) for row in rows if "of_eigen" in row]
    counts, own, other = zip(*beside)
    figure, axes = plt.subplots(figsize=(7, 3.6), dpi=72)
    axes.plot(counts, other, "o-", color="#888888", label="Eigen's product")
    axes.plot(counts, own, "o-", color="#4878a8", label="heed::project, packed weights")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("rows", fontsize=9)
    axes.set_ylabel("milliseconds", fontsize=9)
    axes.set_title("so many rows against 2048 × 2048 weights, float, one thread", fontsize=10)
    axes.grid(True, which="major", linewidth=0.4)
    axes.legend(fontsize=9)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def plots(folder, results):
    """Draws what was measured; nothing without matplotlib."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        print("no plots: matplotlib is not installed")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, title, unit, key, programs, scale in PICTURES:
        if any(program not in results for program in programs):
            continue
        values = [(readable(row["name"]), scale * row[key]) for program in programs
                  for row in results[program] if key in row]
        bars(plt, folder / f"performance_{name}.png", title, unit, values, scale)
    if "bench_project" in results:
        draw_rows(plt, folder / "project_rows.png", results["bench_project"])


def earlier_sections(page):
    """What the page says of each section, by its title."""
    measured = page.split(BEGIN)[1].split(END)[0]
    return {text.split("\n", 1)[0]: f"### {text}".strip()
            for text in re.split(r"^### ", measured, flags=re.M)[1:]}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--build", type=Path, required=True, help="the build folder")
    options.add_argument("--quick", action="store_true",
                         help="a moment for each; figures mean little, and go to --out")
    options.add_argument("--only", nargs="+", metavar="PROGRAM",
                         help="measure these programs alone (compiling is one, too); what the page "
                         "says of the others stays")
    options.add_argument("--min-time", type=float, metavar="SECONDS",
                         help="for each benchmark; 0.3 unless given, 0.01 with --quick")
    options.add_argument("--out", type=Path, help="folder of performance.md (docs, or "
                         "performance in the build folder with --quick)")
    options.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    options.add_argument("--include", action="append",
                         help="include path of one compilation, may be repeated")
    options = options.parse_args()
    out = options.out or (options.build / "performance" if options.quick else ROOT / "docs")
    includes = options.include or [ROOT / "include", "/usr/include/eigen3"]
    min_time = options.min_time or (0.01 if options.quick else 0.3)

    template = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    earlier = earlier_sections(template)
    results, parts = {}, []
    for section in SECTIONS:
        if options.only and (section.program or "compiling") not in options.only:
            parts += [earlier[section.title]] if section.title in earlier else []
            continue
        print(section.title, flush=True)
        parts.append(f"### {section.title}\n\n{section.text}")
        if section.program:
            results[section.program] = run_program(section.program, options.build, min_time)
            parts.append(table(section, results[section.program]))
        else:
            parts.append(compiled_table(
                compile_times(options.compiler, includes, 1 if options.quick else 3)))
    plots(out / "figures", results)
    pictures = [f"![{title}](figures/performance_{name}.png)" for name, title, *_ in PICTURES
                if (out / "figures" / f"performance_{name}.png").exists()]

    head, tail = template.split(BEGIN)[0], template.split(END)[1]
    quick = "**A trial run: the figures mean little.**" if options.quick else ""
    measured = "\n\n".join(
        part for part in [BEGIN, quick, machine(options.compiler) + ".", *pictures, *parts, END]
        if part)
    out.mkdir(parents=True, exist_ok=True)
    # The page of an earlier run stays until all of this one is written.
    page = out / "performance.md"
    page.with_suffix(".md.new").write_text(head + measured + tail, encoding="utf-8")
    page.with_suffix(".md.new").replace(page)
    print(f"wrote {out / 'performance.md'}")


if __name__ == "__main__":
    main()
