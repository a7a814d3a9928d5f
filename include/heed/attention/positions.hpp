#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>

/// \file
/// Where queries and keys stand, if not one after the other.

namespace heed::inline HEED_ARCHITECTURE {

/// The positions of one call's queries and keys, as its parts see them.
struct call_positions {
    const double* queries = nullptr;  ///< [queries], or [batch, queries]; null: query_first + i
    const double* keys = nullptr;     ///< [keys], or [batch, keys]; null: key_first + j
    index query_first = 0;
    index key_first = 0;
    bool per_batch = false;               ///< the arrays have an axis for the batch
    const index* query_firsts = nullptr;  ///< [batch]: of each sequence, in place of query_first

    index first_query(index batch) const {
        return query_firsts == nullptr ? query_first : query_firsts[batch];
    }
    /// Whether queries of the same index may stand elsewhere in another sequence; keys only do
    /// where it is per_batch.
    bool queries_differ() const { return per_batch || query_firsts != nullptr; }

    double query(const attention_shape& shape, index batch, index i) const {
        if (queries == nullptr) return static_cast<double>(first_query(batch) + i);
        return queries[per_batch ? batch * shape.queries + i : i];
    }
    double key(const attention_shape& shape, index batch, index j) const {
        if (keys == nullptr) return static_cast<double>(key_first + j);
        return keys[per_batch ? batch * shape.keys + j : j];
    }
};

namespace detail {

/// A list of numbers that is no tensor: std::vector, std::array, std::span.
template <class X>
concept number_range = !tensor_like<X> && requires(const std::remove_cvref_t<X>& x) {
    requires std::is_arithmetic_v<std::remove_cvref_t<decltype(*x.data())>>;
    x.size();
};

/// Whether a double is a position: from 2⁵³ on it no longer tells one from the next.
inline bool is_position(double x) { return std::abs(x) < 0x1p53; }

/// A position for a message: a whole number to its last digit.
template <class Number>
auto as_given(Number position) {
    if constexpr (std::is_integral_v<Number>)
        return position;
    else
        return static_cast<double>(position);
}

/// The positions of a call in which each sequence's queries stand at the end of its own
/// length_of(batch) keys.
template <class LengthOf>
call_positions queries_at_ends(arena& scratch, const attention_shape& shape,
                               const LengthOf& length_of) {
    index* first = scratch.take<index>(shape.batch);
    for (index batch = 0; batch < shape.batch; ++batch)
        first[batch] = length_of(batch) - shape.queries;
    return {.query_firsts = first};
}

/// What positions may be given as: [sequence], or [batch, sequence] as a matrix or a tensor of two
/// axes; of any integral or floating type.
template <class X>
concept position_list = number_range<X> ||(tensor_like<X> && (rank_of<X> == 1 || rank_of<X> == 2));

/// Whether the list is [sequence]: a matrix is, if its type says that it is a vector.
template <position_list X>
inline constexpr bool is_one_sequence = [] {
    using type = std::remove_cvref_t<X>;
    if constexpr (number_range<X>) {
        return true;
    } else if constexpr (eigen_dense<type>) {
        return bool(type::IsVectorAtCompileTime);
    } else {
        return rank_of<X> == 1;
    }
}();

/// A range that the caller keeps, and one that is kept here.
template <class T>
struct referred_range {
    tensor_view<const T, 1> memory;
    tensor_view<const T, 1> view() const { return memory; }
};
template <class X>
struct owned_range {
    X object;
    auto view() const { return vector_view(object); }
};

/// Lvalues are referred to, temporary objects owned.
template <position_list X>
auto keep_positions(X&& x) {
    if constexpr (tensor_like<X>) {
        return keep(std::forward<X>(x));
    } else if constexpr (std::is_lvalue_reference_v<X>) {
        return referred_range<std::remove_cvref_t<decltype(*x.data())>>{vector_view(x)};
    } else {
        return owned_range<std::remove_cvref_t<X>>{std::forward<X>(x)};
    }
}

/// Positions as [sequence] or [batch, sequence], for the length of a part's life.
template <position_list X>
struct kept_positions {
    decltype(keep_positions(std::declval<X>())) kept;

    static constexpr bool per_batch = !is_one_sequence<X>;

    explicit kept_positions(X&& x) : kept(keep_positions(std::forward<X>(x))) {}

    /// [batch, sequence], with a batch's stride of 0 where all share the positions.
    auto view() const {
        const auto all = kept.view();
        using number = std::remove_cvref_t<decltype(*all.data)>;
        using result = tensor_view<const number, 2>;
        if constexpr (all.extents.size() == 1) {
            return result{all.data, {1, all.extents[0]}, {0, all.strides[0]}};
        } else if constexpr (per_batch) {
            return result{all.data, all.extents, all.strides};
        } else {
            const std::size_t axis = all.extents[0] == 1 ? 1 : 0;
            return result{all.data, {1, all.extents[axis]}, {0, all.strides[axis]}};
        }
    }

    void check(std::string_view name, index batch, index sequence) const {
        const auto all = view();
        if constexpr (per_batch) {
            require_shape(all.extents[0] == batch && all.extents[1] == sequence, name,
                          " have shape ", all.extents, ", but must have [", batch, ", ", sequence,
                          "], one for each row of each sequence");
        } else {
            require_shape(all.extents[1] == sequence, name, " have length ", all.extents[1],
                          ", but must have ", sequence, ", one for each row of a sequence");
        }
        check_view(name, all);
        for (index b = 0; b < all.extents[0]; ++b) {
            for (index i = 0; i < sequence; ++i) {
                const auto value = static_cast<double>(all(b, i));
                require_argument(is_position(value), name, " hold ", as_given(all(b, i)), " at [",
                                 b, ", ", i, "], but must be finite and below 2^53 in magnitude");
            }
        }
    }

    template <class See>
    void inputs(See&& see) const {
        see("the positions", view());
    }

    /// Writes rows first … first + count − 1 of one sequence.
    void copy(double* to, index batch, index first, index count) const {
        const auto all = view();
        for (index i = 0; i < count; ++i)
            to[i] = static_cast<double>(all(per_batch ? batch : index(0), first + i));
    }
};

/// The part that heed::positions makes.
template <position_list Queries, position_list Keys>
struct positions_part : positions_base {
    kept_positions<Queries> queries;
    kept_positions<Keys> keys;

    positions_part(kept_positions<Queries> of_queries, kept_positions<Keys> of_keys)
        : queries(std::move(of_queries)), keys(std::move(of_keys)) {}

    void check(const attention_shape& shape) const {
        queries.check("the positions of queries", shape.batch, shape.queries);
        keys.check("the positions of keys", shape.batch, shape.keys);
    }
    template <class See>
    void inputs(See&& see) const {
        queries.inputs(see);
        keys.inputs(see);
    }

    /// The positions as doubles, one after the other, in `scratch`.
    call_positions prepare(arena& scratch, const attention_shape& shape) const {
        constexpr bool per_batch =
            kept_positions<Queries>::per_batch || kept_positions<Keys>::per_batch;
        const index batches = per_batch ? shape.batch : 1;
        double* of_queries = scratch.take<double>(batches * shape.queries);
        double* of_keys = scratch.take<double>(batches * shape.keys);
        for (index b = 0; b < batches; ++b) {
            queries.copy(of_queries + b * shape.queries, b, 0, shape.queries);
            keys.copy(of_keys + b * shape.keys, b, 0, shape.keys);
        }
        return {of_queries, of_keys, 0, 0, per_batch};
    }
};

/// The part that heed::positions makes of one list for both.
template <position_list Both>
struct shared_positions_part : positions_base {
    kept_positions<Both> both;

    explicit shared_positions_part(kept_positions<Both> of_both) : both(std::move(of_both)) {}

    void check(const attention_shape& shape) const {
        both.check("the positions of queries and keys", shape.batch, shape.keys);
        require_shape(shape.queries == shape.keys, "there are ", shape.queries, " queries and ",
                      shape.keys, " keys, but one list of positions is for equally many");
    }
    template <class See>
    void inputs(See&& see) const {
        both.inputs(see);
    }

    call_positions prepare(arena& scratch, const attention_shape& shape) const {
        constexpr bool per_batch = kept_positions<Both>::per_batch;
        const index batches = per_batch ? shape.batch : 1;
        double* positions = scratch.take<double>(batches * shape.keys);
        for (index b = 0; b < batches; ++b) both.copy(positions + b * shape.keys, b, 0, shape.keys);
        return {positions, positions, 0, 0, per_batch};
    }
};

}  // namespace detail

/// A part: query i stands at queries[i], key j at keys[j], for masks, modifiers and rotary
/// encodings alike. Without it key j stands at j and query i at i + keys − queries.
///
/// Positions are integers or finite fractions of any type, in any order: [sequence], shared by the
/// batch (std::vector, an Eigen vector, a tensor of rank 1), or [batch, sequence] (an Eigen matrix,
/// a tensor of rank 2). Lvalues are viewed and must outlive the call, temporary objects are owned.
/// The call throws shape_error where lengths differ from the tensors', argument_error for a
/// position that is not finite, or not below 2⁵³ in magnitude, where doubles tell each from the
/// next.
template <detail::position_list Queries, detail::position_list Keys>
detail::positions_part<Queries, Keys> positions(Queries&& queries, Keys&& keys) {
    return {detail::kept_positions<Queries>(std::forward<Queries>(queries)),
            detail::kept_positions<Keys>(std::forward<Keys>(keys))};
}

/// The same where queries and keys stand at the same positions.
template <detail::position_list Both>
detail::shared_positions_part<Both> positions(Both&& both) {
    return detail::shared_positions_part<Both>(
        detail::kept_positions<Both>(std::forward<Both>(both)));
}

}  // namespace heed::inline HEED_ARCHITECTURE
