"""heed for NumPy's arrays, through heed_c.cpp, which is compiled when it is newer than the library.

CXX names the compiler, EIGEN the folder of Eigen's headers.
"""

import ctypes
import math
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
LIBRARY = Path(tempfile.gettempdir()) / "heed_conformance.so"
LETTERS = {"float32": b"f", "float64": b"d", "float16": b"h", "bfloat16": b"b"}


def load():
    include = FOLDER.parents[2] / "include"
    sources = [FOLDER / "heed_c.cpp", *include.rglob("*.hpp")]
    if not LIBRARY.exists() or LIBRARY.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        subprocess.run([os.environ.get("CXX", "g++"), "-std=c++20", "-O1", "-march=native", "-shared",
                        "-fPIC", f"-I{include}", "-isystem",
                        os.environ.get("EIGEN", "/usr/include/eigen3"), str(FOLDER / "heed_c.cpp"),
                        "-o", str(LIBRARY)], check=True)
    library = ctypes.CDLL(str(LIBRARY))
    library.heed_error.restype = ctypes.c_char_p
    return library


heed = load()


class Refused(Exception):
    """heed has thrown; its message."""


def pointer(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


def call(function, *arguments):
    given = [pointer(a) if isinstance(a, np.ndarray) else
             ctypes.c_double(a) if isinstance(a, float) else
             ctypes.c_char(a) if isinstance(a, bytes) else
             ctypes.c_int64(a) if isinstance(a, int) and not isinstance(a, bool) else
             ctypes.c_int(a) if isinstance(a, bool) else a for a in arguments]
    if function(*given):
        raise Refused(heed.heed_error().decode())


class AttentionCall(ctypes.Structure):
    _fields_ = ([(n, ctypes.c_int64) for n in
                 ("batch", "heads", "kv_heads", "queries", "keys", "dim", "value_dim")] +
                [(n, ctypes.c_void_p) for n in
                 ("q", "k", "v", "o", "seen", "bias", "first_query", "key_lengths", "weights", "scores", "d_o",
                  "dq", "dk", "dv", "d_bias")] +
                [("scale", ctypes.c_double), ("soft_cap", ctypes.c_double),
                 ("left", ctypes.c_int64), ("right", ctypes.c_int64)])


def attention(q, k, v, *, seen=None, bias=None, first_query=None, key_lengths=None, scale=None,
              soft_cap=0.0, left=-1, right=-1, weights=False, scores=False,
              d_o=None):
    """q [batch, heads, queries, dim] and so on; seen and bias broadcast to the scores. A dictionary
    of o, and of weights, scores, dq, dk, dv, d_bias where they are asked for."""
    letter = LETTERS[q.dtype.name]
    computed = np.float64 if letter == b"d" else np.float32
    (batch, heads, queries, dim), (_, kv_heads, keys, _) = q.shape, k.shape
    matrix = (batch, heads, queries, keys)
    arrays = {"q": q, "k": k, "v": v, "o": np.zeros((batch, heads, queries, v.shape[3]), q.dtype)}
    if seen is not None:
        arrays["seen"] = np.broadcast_to(seen, matrix).astype(bool)
    if bias is not None:
        arrays["bias"] = np.broadcast_to(bias, matrix).astype(computed)
    if first_query is not None:
        arrays["first_query"] = np.broadcast_to(first_query, (batch,)).astype(np.int64)
    if key_lengths is not None:
        arrays["key_lengths"] = np.asarray(key_lengths, np.int64)
    if weights:
        arrays["weights"] = np.zeros(matrix, q.dtype)
    if scores:
        arrays["scores"] = np.zeros(matrix, q.dtype)
    if d_o is not None:
        arrays |= {"d_o": d_o, "d_bias": np.zeros(matrix, computed)}
        arrays |= {f"d{n}": np.zeros(x.shape, q.dtype) for n, x in (("q", q), ("k", k), ("v", v))}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    given = AttentionCall(batch, heads, kv_heads, queries, keys, dim, v.shape[3],
                          **{name: array.ctypes.data for name, array in arrays.items()},
                          scale=math.nan if scale is None else scale, soft_cap=soft_cap,
                          left=left, right=right)
    call(heed.heed_attention, letter, ctypes.byref(given))
    return {name: arrays[name] for name in ("o", "weights", "scores", "dq", "dk", "dv", "d_bias")
            if name in arrays}


def rows_of(x, axes):
    """x as rows along axes, and what brings rows back into x's shape."""
    axes = [a % max(x.ndim, 1) for a in axes] if x.ndim else []
    others = [a for a in range(x.ndim) if a not in axes]
    moved = np.transpose(x, others + axes) if x.ndim else x.reshape(1)
    columns = math.prod(x.shape[a] for a in axes)
    count = math.prod(x.shape[a] for a in others)
    rows = np.ascontiguousarray(moved).reshape(count, columns)

    def back(result):
        result = result.reshape(moved.shape)
        return np.transpose(result, np.argsort(others + axes)) if x.ndim else result.reshape(())

    return rows, back


def softmax(x, axis, *, log=False, dy=None):
    rows, back = rows_of(x, [axis])
    y, dx = np.zeros_like(rows), np.zeros_like(rows)
    d = rows_of(dy, [axis])[0] if dy is not None else None
    call(heed.heed_softmax, LETTERS[x.dtype.name], bool(log), *rows.shape, rows, y, d, dx)
    return (back(y), back(dx)) if dy is not None else back(y)


def log_sum_exp(x, axes, *, dz=None):
    """z [rows]; with dz, in any shape of as many numbers, the gradient too."""
    rows, back = rows_of(x, axes)
    z, dx = np.zeros(rows.shape[0], x.dtype), np.zeros_like(rows)
    d = np.ascontiguousarray(dz).reshape(-1) if dz is not None else None
    call(heed.heed_log_sum_exp, LETTERS[x.dtype.name], *rows.shape, rows, z, d, dx)
    return (z, back(dx)) if dz is not None else z


def cross_entropy(x, *, labels=None, probabilities=None, weights=None, smoothing=0.0, ignored=-100,
                  gradient=False):
    """x [rows, classes]: the loss of each row, and each's own gradient."""
    losses, dx = np.zeros(x.shape[0], x.dtype), np.zeros_like(x)
    call(heed.heed_cross_entropy, LETTERS[x.dtype.name], *x.shape, np.ascontiguousarray(x),
         None if labels is None else np.ascontiguousarray(labels, np.int64),
         None if probabilities is None else np.ascontiguousarray(probabilities, x.dtype),
         None if weights is None else np.ascontiguousarray(weights, x.dtype),
         float(smoothing), int(ignored), losses, dx if gradient else None)
    return (losses, dx) if gradient else losses


def rotate(x, cosines, sines, positions, *, interleaved):
    y = np.zeros_like(x)
    call(heed.heed_rotate, LETTERS[x.dtype.name], bool(interleaved), *x.shape, *cosines.shape,
         np.ascontiguousarray(x), np.ascontiguousarray(cosines), np.ascontiguousarray(sines),
         np.ascontiguousarray(positions, np.int64), y)
    return y
