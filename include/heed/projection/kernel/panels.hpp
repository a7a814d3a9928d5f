#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Panels of weights: panel_width outputs, input by input, an output a lane.
///
/// A matrix of weights, however it lies in memory, is to the kernels a sequence of panels, of which
/// they take one depth block at a time. Packed weights in the scalar of the call are read where
/// they lie; those of fewer bits are widened, a panel at a time, into L1; all others are brought
/// into scratch memory, a group of panels at a time, once for all rows that meet them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// to[c·Width + r] = element (r, c), for r < count; zero for the other r < Width, c < depth.
/// `whole(r, c)` is a vector of elements (r, c), (r, c + 1), …; `part(r, c, n)` the first n of it.
/// Writes up to a vector beyond Width·depth. As pack_transposed, for rows that lie anywhere.
template <index Width, class T, class Whole, class Part>
void gather_transposed(Whole whole, Part part, index count, index depth, T* to) {
    constexpr index size = vec<T>::size;
    for (index r = 0; r < Width; r += size) {
        constexpr index wanted = std::min(size, Width);
        const index last = std::min(wanted, count - r);
        for (index c = 0; c < depth; c += size) {
            const index width = std::min(size, depth - c);
            T* at = to + c * Width + r;
            array_of<vec<T>, size> block;
            if (width == size && last == wanted) {
                unroll<size>([&](int l) __attribute__((always_inline)) {
                    block[l] = l < wanted ? whole(r + l, c) : vec<T>(T(0));
                });
                transpose(block);
                // What one store writes too far, the next ones overwrite.
                constexpr bool fits = Width % size == 0 || Width < size;
                unroll<size>([&](int l) __attribute__((always_inline)) {
                    if (fits || Width - r >= size)
                        block[l].store(at + l * Width);
                    else
                        block[l].store_partial(at + l * Width, Width - r);
                });
            } else {
                for (index l = 0; l < size; ++l)
                    block[l] = l < last ? part(r + l, c, width) : vec<T>(T(0));
                transpose(block);
                for (index l = 0; l < width; ++l) block[l].store_partial(at + l * Width, Width - r);
            }
        }
    }
}

/// The same of strided memory whose rows lie side by side, or anyhow.
template <index Width, class S, class T>
void gather_strided(const tensor_view<const S, 2>& from, index first_row, index first_column,
                    index count, index depth, T* to) {
    const S* const data = from.data + first_row * from.strides[0] + first_column * from.strides[1];
    const index down = from.strides[0], along = from.strides[1];
    if (along == 1) {
        gather_transposed<Width>(
            [=](index r, index c) __attribute__((always_inline)) {
                const S* const at = data + r * down + c;
                // As many rows as a panel has are more than a processor foresees.
                prefetch(
                    reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(at) +
                                                  static_cast<std::uintptr_t>(depth) * sizeof(S)));
                return load_stored(at);
            },
            [=](index r, index c, index n) { return load_stored(data + r * down + c, 1, n); },
            count, depth, to);
        return;
    }
    constexpr index size = vec<T>::size;
    for (index c = 0; c < depth; ++c) {
        const S* const column = data + c * along;
        for (index r = 0; r < Width; r += size) {
            const index last = std::min(size, count - r);
            load_stored(column + r * down, down, last).store_partial(to + c * Width + r, Width - r);
        }
    }
}

/// Whether weights are packed: panels that `at` points into.
template <class Source>
concept in_panels = requires(const Source& weights, index i) {
    weights.at(i, i);
};

/// Weights in panels one after the other, the last filled up with zeros.
template <class S>
struct packed_panels {
    using storage = S;
    using scalar = computed_scalar<S>;
    static constexpr index width = panel_width<scalar>;

    const S* data;
    index outputs, inputs;

    /// Input `first` of panel `p`.
    const S* at(index p, index first) const { return data + (p * inputs + first) * width; }

    /// [depth][width] of panel `p` from input `first` on, perhaps in `room`.
    const scalar* fetch(index p, index first, index depth, scalar* room) const {
        const S* const from = at(p, first);
        if constexpr (std::is_same_v<S, scalar>) {
            return from;
        } else {
            for (index i = 0; i < depth * width; i += vec<scalar>::size)
                load_stored(from + i).store(room + i);
            return room;
        }
    }
};

/// Weights [outputs, inputs] as they lie in memory.
template <class S>
struct strided_panels {
    using storage = S;
    using scalar = computed_scalar<S>;
    static constexpr index width = panel_width<scalar>;

    tensor_view<const S, 2> weight;
    index outputs = weight.extents[0], inputs = weight.extents[1];

    /// Whether the weights of an input lie side by side, so that they may be read where they lie.
    bool has_columns() const { return weight.strides[0] == 1; }
    index input_stride() const { return weight.strides[1]; }
    const S* column(index output) const { return weight.data + output; }

    /// Panels `first` … `last` − 1, `apart` numbers from one another in `room`.
    void fetch(index first, index last, index input, index depth, scalar* room, index apart) const {
        if (has_columns()) return fetch_columns(first, last, input, depth, room, apart);
        for (index p = first; p < last; ++p, room += apart)
            gather_strided<width>(weight, p * width, input, std::min(width, outputs - p * width),
                                  depth, room);
    }

  private:
    /// All panels an input at a time: the longer a piece, the fewer there are.
    void fetch_columns(index first, index last, index input, index depth, scalar* room,
                       index apart) const {
        constexpr index size = vec<scalar>::size;
        const index whole = std::min(last, outputs / width);
        for (index k = 0; k < depth; ++k, room += width) {
            const S* const from = column(0) + (input + k) * input_stride();
            scalar* to = room;
            for (index p = first; p < whole; ++p, to += apart)
                for (index l = 0; l < width; l += size)
                    load_stored(from + p * width + l).store(to + l);
            for (index l = 0; whole < last && l < width; l += size)
                load_stored(from + whole * width + l, 1, outputs - whole * width - l).store(to + l);
        }
    }
};

/// The transpose of packed weights: its inputs are their outputs.
template <class T>
struct transposed_panels {
    using storage = T;
    using scalar = T;
    static constexpr index width = panel_width<T>;

    packed_panels<T> of;
    index outputs = of.inputs, inputs = of.outputs;

    /// `input` is a multiple of the panels' width, as depth blocks are.
    void fetch(index first, index last, index input, index depth, T* room, index apart) const {
        for (index p = first; p < last; ++p, room += apart) {
            const index count = std::min(width, outputs - p * width);
            for (index done = 0; done < depth; done += width)
                pack_transposed<width>(of.at((input + done) / width, p * width), width, count,
                                       std::min(width, depth - done), room + done * width);
        }
    }
};

template <class T>
transposed_panels<T> transposed(const packed_panels<T>& weights) {
    return {weights};
}
template <class T>
strided_panels<T> transposed(const strided_panels<T>& weights) {
    const auto& [extents, strides] = std::pair(weights.weight.extents, weights.weight.strides);
    return {{weights.weight.data, {extents[1], extents[0]}, {strides[1], strides[0]}}};
}

/// Packs weights [outputs, inputs], element(o, k) being that of output o and input k.
template <class S, class Element>
void pack_weights(index outputs, index inputs, Element element, S* to) {
    constexpr index width = panel_width<computed_scalar<S>>;
    // A few inputs at a time: rows a power of two apart would otherwise push one another out.
    constexpr index block = 64;
    for (index first = 0; first < outputs; first += width) {
        S* const panel = to + first * inputs;
        for (index begin = 0; begin < inputs; begin += block) {
            const index end = std::min(inputs, begin + block);
            for (index r = 0; r < width; ++r)
                for (index c = begin; c < end; ++c)
                    panel[c * width + r] =
                        first + r < outputs ? element(first + r, c) : static_cast<S>(0);
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
