#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>

/// \file
/// What a head has seen: S = Σ φ(k_j) v_jᵀ and Z = Σ φ(k_j) up to the last line of the grid, and
/// the keys and values since.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How far a head is.
struct head_progress {
    index keys = 0;      ///< of the chunk that is not full
    bool begun = false;  ///< whether references, or decays a channel, are those of a key
    bool finite = true;  ///< whether the values of the chunk are
    bool anew = false;   ///< whether the chunk's first token forgets what was before it
    bool cuts = false;   ///< whether it ended a chunk off the grid, or changed S or references
};

/// The sums of one head, in memory of someone else's.
template <class T>
struct head_sums {
    compensated_rows<T> s;     ///< [features][padded value columns]
    T *total, *total_lost;     ///< Z, as S
    T* running;                ///< Σ φ(k_j) of the chunk's keys
    T* reference;              ///< logits that features are relative to
    T* keys;                   ///< the chunk's φ(k_j) as S takes them, transposed
    written_rows<T> key_rows;  ///< the same before an encoding, one a row; or decays a channel
    written_rows<T> values;    ///< the chunk's values, padded
    decay_sums<T> decays;      ///< of the chunk's tokens, where there are decays
    head_progress* progress;

    /// G of the chunk, where decays are a channel's: nothing divides then, and Z is not needed.
    channel_parts<T> channels() const { return {total, total_lost}; }
};

/// How the numbers of a head lie in memory.
template <class T>
struct head_layout {
    index features = 0;  ///< rows of S
    index columns = 0;   ///< padded

    static head_layout of(index features, index value_dim) {
        return {features, padded<T>(value_dim)};
    }

    index row() const { return padded<T>(features); }
    index size() const {
        return 2 * features * columns + 4 * row() + transposed_size<T>(features) +
               chunk_length * row() + chunk_length * columns + decay_sums<T>::size;
    }
    head_sums<T> at(T* memory, head_progress* progress) const {
        T* next = memory;
        const auto take = [&next](index count) {
            T* taken = next;
            next += count;
            return taken;
        };
        head_sums<T> of;
        of.s = {{take(features * columns), columns}, {take(features * columns), columns}};
        of.values = {take(chunk_length * columns), columns};
        of.total = take(row());
        of.total_lost = take(row());
        of.running = take(row());
        of.reference = take(row());
        of.key_rows = {take(chunk_length * row()), row()};
        of.keys = take(transposed_size<T>(features));
        of.decays = decay_sums<T>::at(take(decay_sums<T>::size));
        of.progress = progress;
        return of;
    }

    /// A head that has seen nothing.
    head_sums<T> take(arena& scratch) const {
        T* memory = scratch.take<T>(size());
        clear(memory);
        return at(memory, &scratch.make<head_progress>());
    }
    void clear(T* memory) const { std::fill_n(memory, static_cast<std::size_t>(size()), T(0)); }
};

/// S becomes 0.
template <class T>
void forget(const compensated_rows<T>& s, index depth) {
    for (const written_rows<T>& rows : {s.sum, s.lost})
        std::fill_n(rows.data, static_cast<std::size_t>(depth * rows.stride), T(0));
}

/// The chunk becomes part of S, which decays.
template <class T>
void fold_decayed_chunk(const head_sums<T>& head, index features, index columns) {
    head_progress& progress = *head.progress;
    if (progress.keys == 0) return;
    if (progress.anew) forget(head.s, features);
    decay_and_add_chunk<T>(head.s, features, head.keys, head.values, progress.keys, columns,
                           head.decays, head.decays[progress.keys - 1]);
    progress.keys = 0;
    progress.finite = true;
    progress.anew = false;
    progress.cuts = false;
}

/// The same by decays a channel.
template <class T>
void fold_channels(const head_sums<T>& head, index features, index columns) {
    head_progress& progress = *head.progress;
    if (progress.keys == 0) return;
    const channel_parts<T> decay = head.channels();
    exponentiate_channels(decay, features);
    multiply_transposed(head.keys, features, progress.keys, decay.high, channel_unit<T>);
    decay_and_add_products<T>(head.s, features, head.keys, head.values, progress.keys, columns,
                              decays_of_rows(decay));
    progress.keys = 0;
    progress.finite = true;
    progress.cuts = false;
}
/// G of the chunk's keys again, from the decays that stand in key_rows.
template <class T>
void sum_channels(const head_sums<T>& head, index features) {
    const channel_parts<T> sums = head.channels();
    clear_channels(sums, features);
    for (index j = 0; j < head.progress->keys; ++j)  // the first may have been S's at once
        if (fits_channels<T>(sums, head.key_rows[j], features))
            advance_channels<T>(sums, head.key_rows[j], features);
}

/// The chunk becomes part of S and Z.
template <class T>
void fold_chunk(const head_sums<T>& head, index features, index columns) {
    constexpr index size = vec<T>::size;
    head_progress& progress = *head.progress;
    if (progress.keys == 0) return;
    add_chunk<T>(head.s, features, head.keys, head.values, progress.keys, 0, columns);
    for (index f = 0; f < features; f += size) {
        add_compensated(head.total + f, head.total_lost + f, vec<T>::load(head.running + f));
        vec<T>(T(0)).store(head.running + f);
    }
    progress.keys = 0;
    progress.finite = true;
    progress.cuts = false;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
