#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/exponential_sums.hpp>

/// \file
/// Softmax of long rows, block by block, so that each element is fetched once.
///
/// The exponentials of a block are relative to its reference, near the maximum so far, and wait for
/// the row's end; then each block is multiplied by 2^(reference − maximum)/sum. The sum is the same
/// bits whether a row is alone in the cache or one of very many. Those are streamed: while the
/// exponentials of a row go to scratch, the row before leaves scratch past the caches, so that
/// reading, computing and writing overlap all the time.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Vectors of a block: a block stays in the first cache, beside what is fetched ahead of it.
inline constexpr index block_vectors = 64;

template <class T>
inline constexpr index block_elements = block_vectors* vec<T>::size;

template <class T>
constexpr index blocks_of(index length) {
    return count_blocks(length, block_elements<T>);
}

/// e = e^{(x − reference)/τ} of a row, its blocks' references in `references`; e may be x.
/// `aside(b)(at)` is called on the way, for every vector of block b; `at` counts from the row's
/// beginning.
template <class T, class Sink, class Aside>
[[gnu::always_inline]] inline row_weights<T> blockwise_exponentials(
    contiguous_line<const T> x, contiguous_line<T> e, const temperature_factors<T>& by, Sink sink,
    T* references, Aside&& aside) {
    vec<T> maximum(-std::numeric_limits<T>::infinity()), reference = maximum;
    compensated_sum<vec<T>> sum;
    for (index b = 0; b * block_elements<T> < x.length; ++b) {
        const index first = b * block_elements<T>;
        const index length = std::min(block_elements<T>, x.length - first);
        const contiguous_line<const T> from{x.data + first, length};
        const contiguous_line<T> to{e.data + first, length};
        const vec<T> before = reference;
        maximum = max(maximum_over(from), maximum);
        reference = moved_reference(before, maximum, by);
        reference.store_partial(references + b, 1);
        const auto visit = aside(b);
        const auto block = sum_exponentials<T>(
            from, reference, by, no_sink{}, [&](auto at, vec<T> v) __attribute__((always_inline)) {
                to.store(at, v);
                at.number += b * block_vectors;
                visit(at);
            });
        if (b > 0 && any(reference != before))
            sum.scale(exp2_fast(by.exponent_of(before - block.shift)));
        sum.add(block.sum);
    }
    const vec<T> shift = finite_shift(with_sink(maximum, sink));
    const vec<T> fade = exp2_fast(by.exponent_of(reference - shift));
    return {shift, fma(sum.value(), fade, sink_weight(shift, by, sink))};
}

/// References become what the blocks are to be multiplied by.
template <class T>
void references_to_factors(T* references, index length, const row_weights<T>& weights,
                           const temperature_factors<T>& by, vec<T> numerator) {
    const vec<T> inverse = weights.inverse(numerator);
    const contiguous_line<T> all{references, blocks_of<T>(length)};
    for_each_vector(all, [&](auto at) {
        all.store(at, exp2_fast(by.exponent_of(all.load(at) - weights.shift)) * inverse);
    });
}

/// y = numerator·softmax(x/τ) of one row; `references` has room for a number a block.
template <class T, class Sink>
void blockwise_softmax(contiguous_line<T> y, contiguous_line<const T> x,
                       const temperature_factors<T>& by, Sink sink, vec<T> numerator,
                       T* references) {
    const auto weights =
        blockwise_exponentials<T>(x, y, by, sink, references, [](index) { return [](auto) {}; });
    references_to_factors(references, x.length, weights, by, numerator);
    for (index first = 0; first < y.length; first += block_elements<T>) {
        const vec<T> factor(references[first / block_elements<T>]);
        const contiguous_line<T> block{y.data + first,
                                       std::min(block_elements<T>, y.length - first)};
        for_each_vector(
            block, [&](auto at) __attribute__((always_inline)) {
                block.store(at, block.load(at) * factor);
            });
    }
}

/// A row on its way from scratch to memory.
template <class T>
struct departing_row {
    contiguous_line<const T> exponentials{nullptr, 0};
    const T* factors = nullptr;
    contiguous_line<T> to{nullptr, 0};

    /// Streaming stores need an aligned address.
    bool is_aligned() const {
        return reinterpret_cast<std::uintptr_t>(to.data) %
                   (sizeof(T) * static_cast<std::size_t>(vec<T>::size)) ==
               0;
    }

    template <bool Aligned>
    [[gnu::always_inline]] void write(whole_vector at, vec<T> factor) const {
        const vec<T> v = exponentials.load(at) * factor;
        if constexpr (Aligned)
            v.stream(to.data + at.number * vec<T>::size);
        else
            to.store(at, v);
    }
    template <bool Aligned>
    [[gnu::always_inline]] void write(part_vector at, vec<T> factor) const {
        to.store(at, exponentials.load(at) * factor);
    }
};

/// From one row of scratch to the other: an odd number of half pages, since a load that agrees with
/// a store before it in the last 12 bits of the address waits for it.
template <class T>
constexpr index scratch_row(index length) {
    constexpr auto page = index{4096 / sizeof(T)};
    return round_up(length, page) + page / 2;
}

/// Numbers of scratch for streamed_softmax: exponentials and references of two rows.
template <class T>
constexpr index streaming_scratch(index length) {
    return 2 * (scratch_row<T>(length) + blocks_of<T>(length));
}

/// y = numerator(l)·softmax(x/τ) of layout.lines rows. Operands 0 and 1: y, x.
template <class T, class Layout, class Sink, class Numerator>
void streamed_softmax(const Layout& layout, T* to, const T* from, const temperature_factors<T>& by,
                      Sink&& sink, Numerator&& numerator) {
    constexpr index bytes_ahead = 8192;  // what memory's latency takes, twice over
    const index length = layout.length;
    contiguous_line<T> exponentials{layout.scratch, length};
    contiguous_line<T> spare{exponentials.data + scratch_row<T>(length), length};
    T* references = spare.data + scratch_row<T>(length);
    T* spare_references = references + blocks_of<T>(length);

    departing_row<T> previous;
    const auto take_row = [&](index l, auto&& write_previous) __attribute__((always_inline)) {
        const contiguous_line<const T> x = layout.template line<1>(from, l);
        const auto weights =
            blockwise_exponentials<T>(x, exponentials, by, sink(l), references, [&](index b) {
                const vec<T> factor(l == 0 ? T(0) : previous.factors[b]);
                return [=](auto at) __attribute__((always_inline)) {
                    prefetch(reinterpret_cast<const char*>(x.data + at.number * vec<T>::size) +
                             bytes_ahead);
                    write_previous(at, factor);
                };
            });
        references_to_factors(references, length, weights, by, numerator(l));
    };
    const auto nothing = [](auto, vec<T>) {};
    const auto streamed = [&](auto at, vec<T> factor) __attribute__((always_inline)) {
        previous.template write<true>(at, factor);
    };
    const auto stored = [&](auto at, vec<T> factor) __attribute__((always_inline)) {
        previous.template write<false>(at, factor);
    };
    for (index l = 0; l < layout.lines; ++l) {
        if (l == 0)
            take_row(l, nothing);
        else if (previous.is_aligned())
            take_row(l, streamed);
        else
            take_row(l, stored);
        previous = {{exponentials.data, length}, references, layout.template line<0>(to, l)};
        std::swap(exponentials, spare);
        std::swap(references, spare_references);
    }
    for_each_vector(previous.to, [&](auto at) {
        stored(at, vec<T>(previous.factors[at.number / block_vectors]));
    });
    stream_fence();
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
