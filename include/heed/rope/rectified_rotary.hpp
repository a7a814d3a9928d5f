#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <type_traits>
#include <utility>

#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/scalar.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Rotary positions that count on more slowly, or not at all, beyond a window: ReRoPE and its
/// relatives, inside attention.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Rows of a table of cosines and sines, for queries or for keys under one map.
template <class T>
struct turn_rows {
    const T* rows = nullptr;
    index batch_stride = 0;
    index stride = 0;  ///< 0: all rows turn alike
    index first = 0;   ///< the first query or key that there is a row for

    const T* row(index batch, index i) const {
        return rows + batch * batch_stride + (i - first) * stride;
    }
};

/// The rotations of one call's queries and keys under each map, in scratch.
template <class T>
struct rectified_rows {
    query_maps<turn_rows<T>> queries;
    key_maps<turn_rows<T>> keys;
    key_interval near;         ///< no query is near other keys,
    key_interval near_to_all;  ///< and every query is near these
    bool keeps_far_keys;       ///< their map changes nothing
    index pairs, padded;
    rope::pair_layout layout;

    bool takes(encoding_map map, index first, index count) const {
        if (map == encoding_map::near) return first < near.last && first + count > near.first;
        return first < near_to_all.first || first + count > near_to_all.last;
    }
    bool turns_key(index key, encoding_map map) const {
        if (map == encoding_map::near) return key >= near.first && key < near.last;
        return !keeps_far_keys;
    }

    void rotate_query(T* row, index batch, index query, encoding_map map) const {
        rotate<turn::forth>(row, queries[query_map(map)].row(batch, query));
    }
    void rotate_key(T* row, index batch, index key, encoding_map map) const {
        if (turns_key(key, map)) rotate<turn::forth>(row, keys[key_map(map)].row(batch, key));
    }
    void rotate_query_back(T* row, index batch, index query, encoding_map map) const {
        rotate<turn::back>(row, queries[query_map(map)].row(batch, query));
    }
    void rotate_key_back(T* row, index batch, index key, encoding_map map) const {
        if (turns_key(key, map)) rotate<turn::back>(row, keys[key_map(map)].row(batch, key));
    }

  private:
    template <turn Way>
    void rotate(T* row, const T* table) const {
        if (layout == rope::halves)
            turn_row<Way, rope::halves>(row, row, table, pairs, padded);
        else
            turn_row<Way, rope::interleaved>(row, row, table, pairs, padded);
    }
};

/// How positions count beyond the window: far(p) of both, and `shift` more for a query that stands
/// behind the key, less for one before it.
struct far_positions {
    double slope = 0;  ///< far(p) = slope·p …
    index group = 0;   ///< … or ⌊p/group⌋, if that is not 0
    double shift = 0;

    double of(double position) const {
        return group == 0 ? slope * position : std::floor(position / static_cast<double>(group));
    }
    bool is_constant() const { return group == 0 && slope == 0; }
};

/// The part that the functions below make.
template <class Frequencies>
struct rectified_rotary_part : position_encoding_base {
    static constexpr bool is_rectified = true;

    Frequencies frequencies;
    index near_window;
    far_positions far;

    rectified_rotary_part(Frequencies&& of, index window_of_near, far_positions beyond)
        : frequencies(std::forward<Frequencies>(of)), near_window(window_of_near), far(beyond) {}

    index window() const { return near_window; }

    void check(const attention_shape& shape) const {
        require_shape(frequencies.dim() <= shape.dim, "the frequencies rotate ", frequencies.dim(),
                      " dimensions, but q and k have ", shape.dim);
    }

    /// Fills the tables: up to five times the numbers of one head of k.
    template <class T>
    rectified_rows<T> prepare(arena& scratch, const attention_shape& shape,
                              const call_positions& where) const {
        const padded_frequencies<T> padded(scratch, frequencies);
        const index row_size = padded.row_size();
        const auto fill = [&](key_interval of, bool differ, bool is_constant, auto position) {
            const index batches = differ && !is_constant ? shape.batch : 1;
            const index rows = is_constant ? 1 : of.last - of.first;
            T* table = scratch.take<T>(batches * rows * row_size);
            for (index b = 0; b < batches; ++b)
                for (index i = 0; i < rows; ++i)
                    padded.fill_row(position(b, of.first + i), table + (b * rows + i) * row_size);
            return turn_rows<T>{table, batches > 1 ? rows * row_size : 0,
                                is_constant ? 0 : row_size, of.first};
        };
        // One query behind the other: so are the keys that any of them, and all of them, are near.
        key_interval near{0, shape.keys}, near_to_all{0, 0};
        if (where.queries == nullptr && where.keys == nullptr) {
            const auto [first, end] = reach_of_queries(shape, where);
            const index last = end - 1;
            const auto bounded = [&](index j) { return std::clamp<index>(j, 0, shape.keys); };
            near = {bounded(first - near_window + 1), bounded(last + near_window)};
            near_to_all = {bounded(last - near_window + 1), bounded(first + near_window)};
            if (near.last < near.first) near = {0, 0};
            if (near_to_all.last < near_to_all.first) near_to_all = {0, 0};
        }
        const bool same = far.is_constant();
        const auto query = [&](index b, index i) { return where.query(shape, b, i); };
        const auto key = [&](index b, index j) { return where.key(shape, b, j); };
        const auto far_query = [&](double sign) {
            return fill({0, shape.queries}, where.queries_differ(), same,
                        [&, sign](index b, index i) {
                            return (same ? 0 : far.of(query(b, i))) + sign * far.shift;
                        });
        };
        return {{fill({0, shape.queries}, where.queries_differ(), false, query), far_query(1),
                 far_query(-1)},
                {fill(near, where.per_batch, false, key),
                 fill({0, shape.keys}, where.per_batch, same,
                      [&](index b, index j) { return same ? 0 : far.of(key(b, j)); })},
                near,
                near_to_all,
                same && frequencies.attention_factor() == 1,
                padded.pairs,
                padded.padded,
                frequencies.layout()};
    }

  private:
    /// The positions between the first and behind the last query of any sequence.
    static key_interval reach_of_queries(const attention_shape& shape,
                                         const call_positions& where) {
        const index sequences = where.queries_differ() ? shape.batch : 1;
        key_interval reach{0, 0};
        for (index b = 0; b < sequences; ++b) {
            const index first = where.first_query(b) - where.key_first;
            reach.first = b == 0 ? first : std::min(reach.first, first);
            reach.last =
                b == 0 ? first + shape.queries : std::max(reach.last, first + shape.queries);
        }
        return reach;
    }
};

template <class Frequencies>
auto make_rectified(Frequencies&& frequencies, index window, const far_positions& far) {
    if constexpr (std::is_lvalue_reference_v<Frequencies>) {
        return rectified_rotary_part<const rope::frequencies&>(frequencies, window, far);
    } else {
        return rectified_rotary_part<rope::frequencies>(std::move(frequencies), window, far);
    }
}

inline index checked_window(const char* part, any_integral window) {
    require_argument(window.value >= 1, part, ": the window is ", window.value,
                     ", but must be at least 1");
    return bounded_reach(window.value);
}

template <class X>
concept rope_frequencies = std::same_as<std::remove_cvref_t<X>, rope::frequencies>;

}  // namespace detail

/// A part: ReRoPE (kexue 9708). A key that stands r before the query is rotated as heed::rotary
/// does while |r| < w; beyond, as if it stood w away:
///
///     q_i·k_j → (R_f q_i)·k_j,   f = r where |r| < w, else sign(r)·w
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::rectified_rotary(rope, 256));
///
/// So positions that were never seen in training do not occur, however long the sequence is; the
/// best w lies between a quarter and a half of the training length. Keys behind a query
/// (r < 0, without a causal mask) are our extension. Throws argument_error for a window below 1;
/// the call throws shape_error for frequencies of more dimensions than q's. An lvalue is viewed and
/// must outlive the part, a temporary object is owned.
template <detail::rope_frequencies Frequencies>
[[nodiscard]] auto rectified_rotary(Frequencies&& frequencies, detail::any_integral window) {
    const index w = detail::checked_window("heed::rectified_rotary", window);
    return detail::make_rectified(std::forward<Frequencies>(frequencies), w,
                                  {.shift = static_cast<double>(w)});
}

/// A part: Leaky ReRoPE (kexue 9708). Beyond the window positions count on in steps of 1/k:
/// f = sign(r)·(w + (|r| − w)/k). k = 1 is heed::rotary, k → ∞ heed::rectified_rotary. With k < 1
/// it is what inverse Leaky ReRoPE trains with (kexue 9728), to run with heed::rotary afterwards.
///
/// Throws argument_error as rectified_rotary does, and unless k is positive and finite.
template <detail::rope_frequencies Frequencies>
[[nodiscard]] auto leaky_rectified_rotary(Frequencies&& frequencies, detail::any_integral window,
                                          detail::any_real stretch) {
    const index w = detail::checked_window("heed::leaky_rectified_rotary", window);
    const double k = stretch.value;
    detail::require_argument(k > 0 && std::isfinite(k), "heed::leaky_rectified_rotary: stretch is ",
                             k, ", but must be positive and finite");
    return detail::make_rectified(std::forward<Frequencies>(frequencies), w,
                                  {.slope = 1 / k, .shift = static_cast<double>(w) * (1 - 1 / k)});
}

/// A part: grouped positions, as Self-Extend has them (arXiv 2401.01325). Beyond the window a
/// position is that of its group of g: f = ⌊i/g⌋ − ⌊j/g⌋ ± (w − ⌊w/g⌋).
///
/// Throws argument_error as rectified_rotary does, and for a group below 1.
template <detail::rope_frequencies Frequencies>
[[nodiscard]] auto grouped_rotary(Frequencies&& frequencies, detail::any_integral window,
                                  detail::any_integral group) {
    const index w = detail::checked_window("heed::grouped_rotary", window), g = group.value;
    detail::require_argument(g >= 1, "heed::grouped_rotary: the group is ", g,
                             ", but must be at least 1");
    return detail::make_rectified(std::forward<Frequencies>(frequencies), w,
                                  {.group = g, .shift = static_cast<double>(w - w / g)});
}

}  // namespace heed::inline HEED_ARCHITECTURE
