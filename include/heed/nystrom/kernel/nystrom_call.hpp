#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/attention.hpp>
#include <heed/attention/kernel/call/call.hpp>
#include <heed/attention/kernel/call/contracts.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/call/stored_tensors.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/convolution.hpp>
#include <heed/nystrom/kernel/nystrom_parts.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/nystrom/nystrom_options.hpp>

/// \file
/// One call of Nyström attention, checked before anything else happens, and its runs: sequences of
/// equal length, one after the other in the batch, which are computed as if they were alone.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Sequences first … first + count − 1, of the same length.
struct nystrom_run {
    index first, count;
    index queries, keys;  ///< of each sequence, without padding
    index landmarks;      ///< 0 where there are no queries or no keys

    bool operator==(const nystrom_run&) const = default;
};

/// `Call` is the attention_call of the parts but the residual, which is in a tuple of one or none.
template <class Call, class Residual>
struct nystrom_call {
    const Call& call;
    Residual residual;
    const nystrom_options& options;

    static constexpr bool has_residual = std::tuple_size_v<Residual> > 0;

    const attention_shape& shape() const { return call.shape; }

    /// How many keys a sequence has.
    index length(index batch) const {
        return call.template resolve<role::mask>([&](const auto&... parts) {
            index least = shape().keys;
            [[maybe_unused]] const auto look = [&]<class P>(const P& part) {
                if constexpr (part_of<P, role::mask>)
                    least = std::min(least, part.padded_from(batch));
            };
            (look(parts), ...);
            return least;
        });
    }

    /// Queries stand beside keys where there are as many: padding is then that of both.
    bool pads_queries() const { return shape().queries == shape().keys; }

    /// f(run) of all runs, in order.
    template <class F>
    void for_each_run(const F& f) const {
        for (index first = 0, last = 0; first < shape().batch; first = last) {
            const index keys = length(first);
            for (last = first + 1; last < shape().batch && length(last) == keys;) ++last;
            const index queries = pads_queries() ? keys : shape().queries;
            f(nystrom_run{first, last - first, queries, keys,
                          count_segments(options.landmarks.value, std::min(queries, keys))});
        }
    }

    /// see(name, view) for all memory that the call reads.
    template <class See>
    void see_inputs(const See& see) const {
        call.see_inputs(see);
        std::apply([&](const auto&... part) { (unwrap(part).inputs(see), ...); }, residual);
    }

    /// What the attentions of a run are given beside q, k and v.
    auto parts_of(const nystrom_run& run) const {
        return std::tuple_cat(landmark_parts(call.parts(), {shape(), run.first, run.keys}),
                              std::make_tuple(call.threads(), in(call.memory())));
    }

    /// The weights of the convolution times `sign`, [heads, taps], in T.
    template <class T>
    const T* take_weights(arena& scratch, double sign) const {
        const auto& part = unwrap(std::get<0>(residual));
        T* weights = scratch.take<T>(shape().heads * part.taps());
        for (index head = 0; head < shape().heads; ++head)
            for (index t = 0; t < part.taps(); ++t)
                weights[head * part.taps() + t] = static_cast<T>(sign * part.weight(head, t));
        return weights;
    }
    index count_taps() const {
        if constexpr (has_residual)
            return unwrap(std::get<0>(residual)).taps();
        else
            return 0;
    }
};

/// Calls f(attention_call) of tensors of S, its numbers floats where S has 16 bits.
template <class S, class F, class... Parts>
void with_widened_call(const tensor_view<const S, 4>& q, const tensor_view<const S, 4>& k,
                       const tensor_view<const S, 4>& v, const F& f, const Parts&... parts) {
    using call_type = attention_call<computed_in<S>, Parts...>;
    if constexpr (std::is_same_v<S, computed_in<S>>) {
        f(call_type(q, k, v, parts...));
    } else {
        const std::array<memory_span, 3> stored{q, k, v};
        call_type call(shape_of(q, k, v), stored, parts...);
        workspace& memory = call.memory();
        const arena::scope mark(memory.slot(0));
        call.q = widened(q, call.threads(), memory, memory.slot(0));
        call.k = widened(k, call.threads(), memory, memory.slot(0));
        call.v = widened(v, call.threads(), memory, memory.slot(0));
        f(std::as_const(call));
    }
}

/// Calls f(nystrom_call) with everything checked but outputs.
template <class Q, class K, class V, class F, class... Parts>
void with_nystrom_call(const Q& q, const K& k, const V& v, const nystrom_options& options,
                       const F& f, const Parts&... parts) {
    if constexpr (check_inputs<Q, K, V, true>() && check_nystrom_parts<Parts...>()) {
        using S = scalar_of<Q>;
        const auto held_q = evaluate(q);
        const auto held_k = evaluate(k);
        const auto held_v = evaluate(v);
        options.check();
        const auto with_others = [&]<class... Others>(const Others&... others) {
            check_parts<Others...>();
            if constexpr ((check_contracts<computed_in<S>, Others>() && ...)) {
                with_widened_call<S>(
                    rank4(held_q.view()), rank4(held_k.view()), rank4(held_v.view()),
                    [&]<class Call>(const Call& call) {
                        const auto residual = residual_of(parts...);
                        std::apply(
                            [&](const auto&... part) { (unwrap(part).check(call.shape), ...); },
                            residual);
                        f(nystrom_call<Call, std::remove_const_t<decltype(residual)>>{
                            call, residual, options});
                    },
                    others...);
            }
        };
        std::apply(with_others, others_than_residual(parts...));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
