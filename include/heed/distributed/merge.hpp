#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>

#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/distributed/kernel/merge_rows.hpp>
#include <heed/rows/row_arguments.hpp>

/// \file
/// Attention over parts of the keys becomes attention over all of them.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Whether the rows of a normaliser can be merged: it takes them block by block, and says how.
template <class Scalar, class Normaliser>
concept merges_rows = requires(const kernel_of<Scalar, Normaliser>& stream,
                               typename kernel_of<Scalar, Normaliser>::statistics& row) {
    stream.merge(row, row);
};
template <class Stats>
inline constexpr bool merging_stats = false;
template <class Scalar, class Normaliser>
inline constexpr bool merging_stats<stats<Scalar, Normaliser>> = merges_rows<Scalar, Normaliser>;
template <class Scalar, class... Normalisers>
inline constexpr bool merging_stats<stats<Scalar, std::variant<Normalisers...>>> =
    (merges_rows<Scalar, Normalisers> && ...);

/// Stops the compilation with one sentence if such results do not merge.
template <class O, class Stats, class OPart, class StatsPart>
constexpr bool check_merge() {
    constexpr bool writable = !std::is_const_v<Stats>;
    static_assert(writable, "heed: the stats that others are merged into must not be const");
    constexpr bool same_stats = std::is_same_v<std::remove_const_t<Stats>, StatsPart>;
    static_assert(same_stats,
                  "heed: the stats of results that are merged must be those of one normaliser and "
                  "one scalar");
    constexpr bool merges = merging_stats<StatsPart>;
    static_assert(merges || !same_stats,
                  "heed: results of this normaliser do not merge: it needs whole rows, or its "
                  "stream has no merge(row, row)");
    constexpr bool tensors = tensor_like<O> && tensor_like<OPart>;
    static_assert(tensors,
                  "heed: o and o of the part must be Eigen tensors, matrices, maps, blocks, or "
                  "heed::view");
    if constexpr (writable && same_stats && merges && tensors) {
        constexpr bool same_scalar = std::is_same_v<scalar_of<O>, scalar_of<OPart>>;
        static_assert(same_scalar, "heed: o and o of the part must have the same scalar");
        return same_scalar;
    } else {
        return false;
    }
}

/// Refuses by shape_error parts of other calls, but for their keys; by argument_error those of a
/// normaliser of another value.
template <class T, class Normaliser>
void check_parts(const stats<T, Normaliser>& kept, const stats<T, Normaliser>& part) {
    const attention_shape& own = kept.call_shape();
    attention_shape same_but_keys = part.call_shape();
    require_argument(&kept != &part,
                     "the stats of the part are those that it is merged into, but "
                     "must be those of other keys");
    const auto extents = [](const attention_shape& of) {
        return std::array{of.batch, of.heads, of.kv_heads, of.queries, of.dim, of.value_dim};
    };
    same_but_keys.keys = own.keys;
    require_shape(same_but_keys == own, "stats are those of a call of shape ", extents(own),
                  " ([batch, heads, kv_heads, queries, dim, value_dim]), and those of the part of ",
                  extents(same_but_keys), ", but they may differ in their keys alone");
    for (index head = 0; head < own.heads; ++head) {
        const auto stream = kept.stream(head);
        if constexpr (requires { stream.check_merge(); }) stream.check_merge();
        if constexpr (std::equality_comparable<decltype(stream)>)
            require_argument(stream == part.stream(head),
                             "stats are those of another temperature, sink or other value of the "
                             "normaliser than those of the part, in head ",
                             head, ", but they must be those of one normaliser");
    }
}

template <class S, class T, class Normaliser>
void checked_merge(const tensor_view<S, 4>& o, stats<T, Normaliser>& kept,
                   const tensor_view<const S, 4>& o_part, const stats<T, Normaliser>& part,
                   const call_resources& resources) {
    constexpr bool fits = std::is_same_v<T, computed_in<S>>;
    static_assert(fits, "heed: stats must have the scalar of o, or float if that has 16 bits");
    if constexpr (fits) {
        check_parts(kept, part);
        const attention_shape& shape = kept.call_shape();
        const std::array<index, 4> extents{shape.batch, shape.heads, shape.queries,
                                           shape.value_dim};
        check_view("o", o);
        require_shape(o.extents == extents, "o has shape ", o.extents, ", but its stats are of ",
                      extents);
        check_view("o of the part", o_part);
        require_shape(o_part.extents == extents, "o of the part has shape ", o_part.extents,
                      ", but must have ", extents);
        check_writable("o", o);
        check_apart("o", o, "o of the part", o_part);
        // Moved from meanwhile: should a task throw, they are the stats of no call.
        stats<T, Normaliser> merged = std::move(kept);
        merge_rows(o, merged, o_part, part, resources);
        merged.add_keys(part.call_shape().keys);
        kept = std::move(merged);
    }
}
template <class S, class T, class... Normalisers>
void checked_merge(const tensor_view<S, 4>& o, stats<T, std::variant<Normalisers...>>& kept,
                   const tensor_view<const S, 4>& o_part,
                   const stats<T, std::variant<Normalisers...>>& part,
                   const call_resources& resources) {
    const auto one = [&]<class N>() {
        if (!kept.template holds<N>()) return false;
        checked_merge(o, kept.template open<N>(), o_part, part.template of<N>(), resources);
        return true;
    };
    (one.template operator()<Normalisers>() || ...);
}

}  // namespace detail

/// Merges attention over some keys into attention over others: o and `kept`, what
/// attention_forward gave for q and one part of k and v, become what it would have given for that
/// part and the other one together. With m and Z a row's reference and sum in the two parts,
///
///     m = max(m_a, m_b)    Z = Z_a e^{(m_a − m)/τ} + Z_b e^{(m_b − m)/τ}
///     o = (Z_a e^{(m_a − m)/τ} o_a + Z_b e^{(m_b − m)/τ} o_b)/Z
///
/// (arXiv 1805.02867, 2310.01889). Any number of parts, disjoint, in any order, one after the other
/// or as a tree:
///
///     auto [o, stats] = heed::attention_forward(q, k_0, v_0);
///     const auto [o_1, stats_1] = heed::attention_forward(q, k_1, v_1);
///     heed::merge(o, stats, o_1, stats_1);
///     const auto of_1 = heed::attention_backward(d_o, o, stats, q, k_1, v_1);
///     of_1.k; of_1.v;                                           // complete; dq is a sum of parts
///
/// A sink, which every part has counted, is counted once. `rest` is heed::on(pool),
/// heed::in(memory). For normalisers that stream; of heed's those are softmax, softmax_plus_one,
/// sink, l2_softmax, taylor_softmax, normalised_relu_squared, relu_squared, positive and
/// sigmoid.bias(b). A row's bits do not depend on the threads. A row that sees no key of the part
/// keeps its numbers; a NaN stays in its row. O(batch·heads·queries·value_dim); nothing is
/// allocated the second time.
///
/// shape_error unless both are of calls that differ in their keys alone, and o and o_part have
/// these calls' shape; argument_error for stats of no call, normalisers of different values,
/// heed::sigmoid without a bias, and for an o that overlaps o_part. Should a normaliser of your own
/// throw, `kept` are the stats of no call.
template <class O, class Stats, class OPart, class StatsPart, class... Rest>
void merge(O&& o, Stats& kept, const OPart& o_part, const StatsPart& part, const Rest&... rest) {
    if constexpr (detail::check_merge<std::remove_cvref_t<O>, Stats, OPart, StatsPart>()) {
        const auto held = detail::evaluate(o_part);
        detail::checked_merge(detail::rank4(detail::view_of(o)), kept, detail::rank4(held.view()),
                              part, detail::call_resources(rest...));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
