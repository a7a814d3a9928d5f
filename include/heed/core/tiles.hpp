#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The table of tile sizes: a row an architecture.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Sizes of the tiles of exact attention, in rows, vectors and keys.
///
/// A microkernel keeps rows × vectors accumulators in registers, beside one row of vectors and a
/// broadcast: 12×2 and 6×4 fill AVX-512's 32 registers, 6×4 NEON's, 6×2 the 16 of AVX2 and SSE.
/// Each accumulator is touched once a step, so the shapes also hide the multiply-add's latency.
struct tile_sizes {
    int score_rows;         ///< rows of q in the microkernel of q·kᵀ
    int score_vectors;      ///< its vectors of keys: one panel
    int value_rows;         ///< rows of p in the microkernel of p·v
    int value_vectors;      ///< its vectors of value columns
    index query_block;      ///< query rows a forward task takes: their scores stay in the L2 cache
    index backward_block;   ///< query rows that backward takes at a time: two tiles of scores
    index key_block_bytes;  ///< keys of a block × the scalar's size: anchors the order of all sums
};

#if defined(__AVX512F__)
inline constexpr tile_sizes tiles{12, 2, 6, 4, 192, 384, 1024};
#elif defined(__AVX__)
inline constexpr tile_sizes tiles{6, 2, 6, 2, 48, 96, 1024};
#elif defined(__aarch64__)
inline constexpr tile_sizes tiles{6, 4, 6, 4, 48, 96, 1024};
#else
inline constexpr tile_sizes tiles{6, 2, 6, 2, 48, 96, 1024};
#endif

template <class T>
inline constexpr index panel_width = tiles.score_vectors* vec<T>::size;

/// Vectors of the microkernels of one row alone.
inline constexpr int one_row_vectors = 8;

/// Keys in a block. Blocks begin at absolute multiples of it, and every sum over keys runs block by
/// block, so that a row's bits depend on nothing but the row.
template <class T>
inline constexpr index key_block = tiles.key_block_bytes / static_cast<index>(sizeof(T));

/// The row stride of a tile of scores: one vector more than the keys, since rows a power of two
/// apart fall on a few sets of the cache when a tile is read by columns.
template <class T>
inline constexpr index score_stride = key_block<T> + vec<T>::size;

static_assert(key_block<float> % panel_width<float> == 0);
static_assert(key_block<double> % panel_width<double> == 0);
static_assert(tiles.query_block % tiles.score_rows == 0);
static_assert(tiles.query_block % tiles.value_rows == 0);
static_assert(tiles.backward_block % tiles.score_rows == 0);

}  // namespace heed::inline HEED_ARCHITECTURE::detail
