"""What report.py runs, in the order of the page: a section a program, with what its lines mean."""

from dataclasses import dataclass
from typing import Callable, Optional


@dataclass
class Section:
    title: str
    program: Optional[str]  # None: the time of compiling
    text: str
    timed: bool = True  # whether the time of one run says something


@dataclass
class Counter:
    heading: str
    text: Callable[[float, str], str]  # of the value and the benchmark's name


def percent(value, _):
    return f"{100 * value:.0f} %"


def times(value, _):
    return f"{value:.2f} ×"


def fraction(value, _):
    return f"{value:.2g} ×"


def number(value, _):
    return f"{value:.2f}"


def share(value, _):
    return f"{100 * value:.3g} %"


def rate(value, name):
    return f"{value / 1e9:.4g} {'GFLOP/s' if name.startswith('multiply') else 'GB/s'}"


COUNTERS = {
    "a_second": Counter("at best", rate),
    "share": Counter("share of the limit", percent),
    "of_plain": Counter("over plain", times),
    "plain": Counter("over plain", times),
    "of_rotary": Counter("over rotary", times),
    "of_softmax": Counter("over softmax", times),
    "support": Counter("support", share),
    "left": Counter("scores left", percent),
    "busy": Counter("busy", percent),
    "busy_in_waves": Counter("busy in waves", percent),
    "of_tensors": Counter("over tensors", times),
    "of_alone": Counter("over alone", times),
    "of_exact": Counter("over exact attention's share", times),
    "of_attention": Counter("over attention", fraction),
    "forward": Counter("over forward", times),
    "of_prefill": Counter("over prefill", times),
    "of_in_place": Counter("over weights in place", times),
    "of_eigen": Counter("over Eigen's product", times),
    "speedup": Counter("speedup", times),
    "exps": Counter("over exp", times),
    "copies": Counter("over a copy", times),
    "cosines": Counter("over one cosine after the other", fraction),
    "row_majors": Counter("over row-major", times),
    "ns_an_element": Counter("ns an element", number),
    "ns": Counter("ns a number", number),
    "cycles": Counter("cycles a vector", number),
}

# What lines are held to on AVX-512: the first pattern that a benchmark's name matches.
GOALS = [
    (r"^(forward|backward)/(erf|gelu|silu|softplus|n:|tokens:)", ""),
    (r"^part/.*noise", ""),
    (r"^forward/sparse_softmax 32/", "≤ 0.90 ×"),
    (r"^forward/(sparse_softmax_by_mass|entmax 1.25)", ""),
    (r"^forward<float>.*n:2048/d:64/threads:1", "≥ 91 %"),
    (r"^forward<float>.*n:2048/d:128/threads:1", "≥ 94 %"),
    (r"^forward<float>.*n:32/", "≥ 65 %"),
    (r"^two_threads/.*/m:", "≥ 1.9 ×"),
    (r"^two_threads/heads", "≥ 1.95 ×"),
    (r"^over_exact/", "≥ 0.9 ×"),
    (r"^backward<float>.*d:64/threads:1", "≥ 93 %"),
    (r"^backward<float>.*d:128/threads:1", "≥ 94 %"),
    (r"^forward/sparsemax/d:64/spread:100/", "≤ 0.70 ×"),
    (r"^forward/sparsemax/d:128/", "≤ 0.60 ×"),
    (r"^forward/sparsemax/d:64/spread:0/", "≤ 1.6 ×"),
    (r"^forward/entmax15/d:64/spread:100/", "≤ 0.85 ×"),
    (r"^forward/entmax15/d:128/", "≤ 0.70 ×"),
    (r"^forward/entmax15/d:64/spread:0/", "≤ 1.8 ×"),
    (r"^backward/(sparsemax|entmax15)/d:.*/spread:100/", "≤ 0.10 ×"),
    (r"^(forward|backward)/(sparsemax|entmax15)/", ""),
    (r"^row_entropy/", "≤ 1.15 ×"),
    (r"^forward/taylor_softmax 2", "≤ 1.00 ×"),
    (r"^forward/(entropy|soft_top_k)", ""),
    (r"^backward/sparse_softmax 32/", ""),
    (r"^backward/(entropy|soft_top_k|entmax|sparse_softmax_by_mass)", "≤ 1.5 ×"),
    (r"^(forward|backward)/", "≤ 1.08 ×"),
    (r"^mask/causal", "≤ 0.52 ×"),
    (r"^mask/user function/", "≤ 1.08 ×"),
    (r"^part/soft_cap", "≤ 1.12 ×"),
    (r"^part/bias", "≤ 1.15 ×"),
    (r"^part/rotary/", "≤ 1.03 ×"),
    (r"^rotary/", "≤ 1.03 ×"),
    (r"^rectified/", "≤ 1.10 ×"),
    (r"^rectified_backward/", "≤ 1.15 ×"),
    (r"^part/", "≤ 1.08 ×"),
    (r"^absorbed<float>/heads:128/threads:1", "≥ 90 %"),
    (r"^absorbed<float>/heads:16/threads:1", "≥ 75 %"),
    (r"^absorbed<.*bfloat16>/heads:128/threads:1", "≥ 165 %"),
    (r"^absorbed<.*bfloat16>/heads:16/threads:1", "≥ 130 %"),
    (r"^decode_(layer|over)", ""),
    (r"^decode<.*bfloat16>.*kv_heads:32/", "≥ 75 %"),
    (r"^decode<.*bfloat16>", "≥ 70 %"),
    (r"^decode<.*int8_t>.*kv_heads:32/", "≥ 60 %"),
    (r"^decode<.*int8_t>", "≥ 55 %"),
    (r"^decode_integer_dot/.*kv_heads:32/", "≥ 60 %"),
    (r"^decode_integer_dot/", "≥ 55 %"),
    (r"^decode<.*half>", ""),
    (r"^decode.*kv_heads:32/", "≥ 85 %"),
    (r"^decode", "≥ 80 %"),
    (r"^causal(_decay|_log_decay)?/heads:4/n:4096/d:64/threads:1", "≥ 50 %"),
    (r"^causal(_decay|_log_decay)?/heads:4/n:4096/d:128/threads:1", "≥ 63 %"),
    (r"^causal_favor/.*d:64/threads:1", "≥ 72 %"),
    (r"^causal_delta/.*d:64/threads:1", "≥ 52 %"),
    (r"^causal_delta/.*d:128/threads:1", "≥ 65 %"),
    (r"^one_row<float>", "≥ 85 %"),
    (r"^many_rows<float>", "≥ 92 %"),
    (r"^softmax_over_exp/512/512", "≤ 2 ×, ≤ 0.25 ns"),
    (r"^softmax_of_columns", "≤ 1.3 ×"),
    (r"^softmax_over_copy/1024/32768", "≤ 1.05 ×"),
    (r"^sparse_rows/sparsemax/rows:4096/columns:1024/spread:100", "≤ 2.5 ×"),
    (r"^sparse_rows/entmax15/rows:4096/columns:1024/spread:100", "≤ 3 ×"),
    (r"^apart/.*/4096", "≤ 1.1 ×"),
    (r"^(cross_entropy|sparsemax_loss|entmax_loss|sparse_softmax).*/13107", "≤ 1.3 ×"),
]

SECTIONS = [
    Section("The limits", "bench_limits",
            "Fused multiply-adds on as many sums as fit the registers (two operations each); 128 MiB "
            "of memory read; 128 MiB copied, each byte counted once. Read and copied by the way that "
            "is fastest: in 1 to 8 places at once, prefetched or not, on small and on huge pages. The "
            "best of all runs. Below, shares are of the limit as it was right before and after each "
            "run.",
            timed=False),
    Section("Exact attention, forward", "bench_forward",
            "`heed::attention_into`, 4·n²·d operations a head; the limit is the peak of fused "
            "multiply-adds of as many threads. Speedup is that of two threads over one."),
    Section("Exact attention, backward", "bench_backward",
            "`heed::attention_backward_into`, 10·n²·d operations a head, the same limit; causal over "
            "full."),
    Section("Threads", "bench_threads",
            "The pieces of a call, timed on one thread and dealt out on paper to so many: *busy* is "
            "the share of their time in which they work, *in waves* what it would be with a barrier "
            "after each step of a few heads. *Over alone*: 64 heads of n = 32 with a pool of so many "
            "threads over the same without one.", timed=False),
    Section("Masks", "bench_masks",
            "One head, n = 4096, d = 64, float, one thread. *Over plain* is the time over that of "
            "attention without a mask; *scores left* is what it would be if nothing but the visible "
            "scores were computed. The window is causal, of so many keys. A user's function that "
            "says nothing of tiles is asked for every score."),
    Section("Scales, modifiers, normalisers, positions", "bench_modifiers",
            "Four heads, n = 2048, d = 64, float, one thread: the time over that of attention "
            "without the part. *User function* is ALiBi written as a lambda."),
    Section("Normalisers in attention", "bench_normalisers",
            "Four heads, n = 2048, d = 64, float, one thread: the time over that of softmax "
            "attention. *User function* is 1 + x² written as a lambda."),
    Section("Sparse normalisers in attention", "bench_sparse_attention",
            "Two heads, n = 2048, float, one thread: the time over that of softmax attention, by turns. "
            "*Spread* is the scores' standard deviation in hundredths, *support* the share of the keys "
            "that a row chooses; and what an observer costs."),
    Section("Rotary positions", "bench_rotary_attention",
            "Heads and n; d = 64, float, one thread: the time over that of attention without "
            "positions. With one head, its table of angles is computed for it alone. Rectified: a "
            "window of 256, over plain rotary positions."),
    Section("Decoding", "bench_decode",
            "One query a sequence, 4096 keys of d = 128, float; k and v are 128 MiB. The limit is "
            "the bandwidth of reading memory with as many threads."),
    Section("Decoding with a cache", "bench_kv_cache",
            "The same over `heed::kv_cache`, whose 32 heads of 4096 keys and values are stored in 32, "
            "16 and 8 bits; *over tensors*: a chunk of queries at the end of 4096 keys of 8 heads "
            "over the same call without a cache; and 4096 tokens of 32 heads appended one by one, "
            "as a share of the bandwidth of copying them."),
    Section("Merging", "bench_merge",
            "o and stats of two parts of the keys, float: the time over that of attention of one part, "
            "of as many keys as queries, by turns."),
    Section("Latent attention", "bench_latent",
            "Ranks 512 + 64, cached in 32, 16 and 8 bits. Absorbed: the heads of one token against "
            "4096 cached rows; and a layer of 16 heads of width 2048, and one token of it decoded, "
            "weights packed, over the same prefilled. The limit is the peak of fused multiply-adds."),
    Section("Linear attention", "bench_linear",
            "Float: 4·m·d_v operations a token forward and 10·m·d_v backward for m features, for "
            "FAVOR+ 4·m·d more, by the delta rule (*delta*, with a decay of tokens) 6 and 18·d·d_v; what "
            "a chunk costs within itself is not counted. The limit is the peak of fused "
            "multiply-adds. A step is one token of 32 heads."),
    Section("Recurrent units", "bench_units",
            "Float, tensors far larger than the caches: the limit is reading as many bytes as a call "
            "reads and writes, with as many threads."),
    Section("Nyström attention", "bench_nystrom",
            "m landmarks; the limit is the peak of fused multiply-adds. *Halves*: the two attentions "
            "alone. *Over exact attention's share*: of the limit, of both, by turns."),
    Section("Softmax on rows", "bench_softmax",
            "Rows and columns; float, one thread. *Over exp*: over `heed::exp` of the same numbers. "
            "*Over a copy*: over `memcpy` of the same bytes. *Over row-major*: a column-major matrix "
            "over a row-major one.", timed=False),
    Section("Dense normalisers on rows", "bench_dense",
            "512×512 floats, one thread: the time over that of softmax of the same numbers."),
    Section("Sparse normalisers on rows", "bench_sparse",
            "Normal numbers of a standard deviation of so many hundredths; float, one thread: the "
            "time over that of softmax of the same numbers. Without spread all of a row is in the "
            "support."),
    Section("Losses on logits", "bench_losses",
            "Rows and columns; float, one thread: the time of a loss with its gradient over that of "
            "reading the logits once and writing as many bytes once."),
    Section("Projections", "bench_project",
            "One row against 128 MiB of weights packed, in place, and in place column-major: the limit "
            "is the bandwidth of reading memory. Many rows, and backward (dx and dW): the limit is the "
            "peak of fused multiply-adds. *Over Eigen's product*: so many rows against 2048 × 2048 "
            "weights, float, one thread."),
    Section("Norms", "bench_norms", "Rows and columns in cache; float, one thread."),
    Section("Activations", "bench_activations",
            "Rows and columns in cache; float, one thread: the time over a copy of the rows."),
    Section("Sampling", "bench_sampling",
            "A row of so many logits; float, one thread: the time over a copy of it."),
    Section("Rotating", "bench_rotate",
            "`heed::rotate_into` on [1, 32, n, 128] floats: the time over `memcpy` of the same bytes "
            "on one thread."),
    Section("Selecting a base", "bench_base_selection",
            "One thread. *Positions*: the sums of all positions of a base that suffices, 2·d·length "
            "operations in float beside the peak, and beside `std::cos` in double. *Search*: three "
            "rounds of `heed::rope::least_base`."),
    Section("Vector functions", "bench_math",
            "4096 numbers in the first cache; over a copy of the same numbers there.", timed=False),
    Section("Compiling", None,
            "Of a processor, -O3, by turns, the least of several: a file that only includes, and files "
            "with a call of attention for each of one or nine combinations of parts."),
]
