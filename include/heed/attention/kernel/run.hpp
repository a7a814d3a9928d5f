#pragma once

#include <cstddef>
#include <type_traits>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/online/backward.hpp>
#include <heed/attention/kernel/online/forward.hpp>
#include <heed/attention/kernel/online/gradient_rule.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/program/backward_call.hpp>
#include <heed/attention/kernel/program/bound_parts.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/kernel/program/make_program.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/row_source.hpp>
#include <heed/attention/kernel/whole_row/backward.hpp>
#include <heed/attention/kernel/whole_row/forward.hpp>
#include <heed/attention/kernel/whole_row/row_gradient_rule.hpp>
#include <heed/attention/kernel/whole_row/row_rule.hpp>
#include <heed/attention/kernel/whole_row/score_return.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// From a checked call to the kernel that suits its normaliser.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// o of a checked call; fills `kept`, the stats of its normaliser or of one of several, unless it
/// is null. If it throws, they are the stats of no call.
template <class T, class Call, class Stats>
void run_forward(const Call& call, const tensor_view<T, 4>& o, Stats* kept) {
    call.template resolve<role::normaliser, role::observer>(
        [&]<class... Parts>(const Parts&... parts) {
            const auto& normaliser = unwrap(the_part<role::normaliser>(softmax, parts...));
            using normaliser_type = std::remove_cvref_t<decltype(normaliser)>;
            auto* stats = kept == nullptr ? nullptr : &open_stats<normaliser_type>(*kept);
            auto* statistics = stats == nullptr ? nullptr : stats->begin(call.shape, normaliser);
            auto* bytes = reinterpret_cast<std::byte*>(statistics);
            arena& own = call.memory().slot(0);
            const arena::scope mark(own);
            attention_program<T> program = make_program<T, false>(call, own);
            if constexpr (row_normaliser<normaliser_type, T>) {
                const row_rule_of<T, normaliser_type> rule(normaliser);
                support_store<T>* supports = nullptr;
                if (stats != nullptr && rule.is_sparse) supports = &stats->supports();
                forward_whole_rows(program, rule, o, {bytes, supports});
            } else {
                // Keys of a cache are as they are stored; queries are rounded either way.
                if (program.source.as_given || call.cache != nullptr) program.pairs = call.pairs;
                if (call.cache != nullptr)
                    program.multiplies_integers = call.cache->multiplies_integers();
                constexpr bool observes = (is_bound_observer<Parts> || ...);
                const weight_rule_of<T, normaliser_type, observes> weights(normaliser);
                forward(program, weights, o, bytes);
            }
            if (stats != nullptr) stats->end(call.shape);
        });
}

/// What backward of a checked call is given beside its parts.
template <class T>
struct backward_inputs {
    tensor_view<const T, 4> d_o, o;
    tensor_view<const T, 3> d_lse;  ///< [batch, head, query], or null
    tensor_view<T, 4> dq, dk, dv;
};

/// The way back of scores, in a call with these parts (a tuple, those that learn among them).
template <class T, class Parts>
const score_return<T>& make_score_return(const Parts& all, const call_place& place,
                                         arena& scratch) {
    return with_roles<role::modifier, role::positions>(
        all, [&]<class... Chosen>(const Chosen&... parts) -> const score_return<T>& {
            const auto modifiers = select_role<role::modifier>(parts...);
            using made = score_return_of<T, (moves_keys<Chosen> || ...),
                                         std::remove_cv_t<decltype(modifiers)>>;
            return scratch.make<made>(place, modifiers);
        });
}

/// A streaming normaliser's rule in such a call.
template <class T, class Parts, class Normaliser>
const gradient_rule<T>& make_gradient_rule(const Parts& all, const call_place& place,
                                           const Normaliser& normaliser,
                                           const stats<T, Normaliser>& kept,
                                           const tensor_view<const T, 3>& d_lse, arena& scratch) {
    return with_score_parts<gradient_rule<T>>(
        all,
        [&]<bool Moves, class Masks, class Modifiers>(
            std::bool_constant<Moves>, const Masks& masks,
            const Modifiers& modifiers) -> const gradient_rule<T>& {
            using rule = gradient_rule_of<T, Moves, Masks, Modifiers, Normaliser>;
            return scratch.make<rule>(place, masks, modifiers, normaliser, kept.data(), d_lse);
        });
}

/// dq, dk, dv, and the gradients of learned parts (zero on entry), of a checked call.
template <class T, class Call, class Stats, class Gradients>
void run_backward(const Call& call, const backward_inputs<T>& inputs, const Stats& kept,
                  const Gradients& gradients) {
    arena& own = call.memory().slot(0);
    const arena::scope mark(own);
    const attention_program<T> program = make_program<T, true>(call, own);
    const auto parts = make_learning_parts<T>(call.parts(), gradients, call.shape, own);
    const index rows = call.shape.batch * call.shape.heads * call.shape.queries;
    const bool learns_normaliser = any_learns<role::normaliser>(parts);
    double* scale_dots = any_learns<role::scale>(parts) ? own.take<double>(rows) : nullptr;
    T* row_numbers = learns_normaliser ? own.take<T>(rows) : nullptr;
    const backward_call<T> backward_of{program,   inputs.d_o, inputs.dq,   inputs.dk,
                                       inputs.dv, scale_dots, row_numbers, writes_directly(parts)};

    call.template resolve<role::normaliser>([&](const auto&... chosen) {
        const auto& normaliser = unwrap(the_part<role::normaliser>(softmax, chosen...));
        using normaliser_type = std::remove_cvref_t<decltype(normaliser)>;
        const auto& stats = stats_of<normaliser_type>(kept);
        if constexpr (row_normaliser<normaliser_type, T>) {
            const row_gradient_rule_of<T, normaliser_type> rule(
                call.shape, normaliser, stats.data(),
                make_score_return<T>(parts, program.place, own));
            const support_store<T>* supports = nullptr;
            // What is learned wants to know of every score.
            if (is_sparse<kernel_of<T, normaliser_type>> && !learns_normaliser &&
                !any_learns<role::modifier>(parts))
                supports = &stats.supports();
            backward_whole_rows(backward_of, rule, supports);
        } else {
            backward(
                backward_of,
                make_gradient_rule<T>(parts, program.place, normaliser, stats, inputs.d_lse, own),
                inputs.o);
        }
        finish_learned<T, normaliser_type>(parts, program, stats.data(), scale_dots, row_numbers,
                                           inputs.dq, inputs.dk);
    });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
