#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>

#include <heed/attention/kernel/backward_call.hpp>
#include <heed/attention/kernel/bound_parts.hpp>
#include <heed/attention/kernel/learning.hpp>
#include <heed/attention/kernel/make_program.hpp>
#include <heed/attention/kernel/online/backward.hpp>
#include <heed/attention/kernel/online/forward.hpp>
#include <heed/attention/kernel/online/gradient_rule.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/packed_head.hpp>
#include <heed/attention/kernel/program.hpp>
#include <heed/attention/kernel/roles_of_call.hpp>
#include <heed/attention/kernel/row_source.hpp>
#include <heed/attention/kernel/whole_row/backward.hpp>
#include <heed/attention/kernel/whole_row/forward.hpp>
#include <heed/attention/kernel/whole_row/row_gradient_rule.hpp>
#include <heed/attention/kernel/whole_row/row_rule.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>

/// \file
/// From a checked call to the kernel that suits its normaliser.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// o of a checked call; fills `kept` unless it is null. If it throws, they are the stats of no
/// call.
template <class T, class Call, class Normaliser>
void run_forward(const Call& call, const tensor_view<T, 4>& o, stats<T, Normaliser>* kept) {
    auto* statistics = kept == nullptr ? nullptr : kept->begin(call.shape, call.normaliser());
    auto* bytes = reinterpret_cast<std::byte*>(statistics);
    with_program<T>(call, [&](const attention_program<T>& program, const auto&) {
        if constexpr (row_normaliser<Normaliser>) {
            const row_rule_of<T, Normaliser> rule(call.normaliser());
            support_store<T>* supports = nullptr;
            if (kept != nullptr && rule.is_sparse) supports = &kept->supports();
            forward_whole_rows(program, rule, o, {bytes, supports});
        } else {
            const weight_rule_of<T, Normaliser, Call::has_observers> weights(call.normaliser());
            forward(program, weights, o, bytes);
        }
    });
    if (kept != nullptr) kept->end(call.shape);
}

/// What backward of a checked call is given beside its parts.
template <class T>
struct backward_inputs {
    tensor_view<const T, 4> d_o, o;
    tensor_view<const T, 3> d_lse;  ///< [batch, head, query], or null
    tensor_view<T, 4> dq, dk, dv;
};

/// dq, dk, dv, and the gradients of learned parts (zero on entry), of a checked call.
template <class T, class Call, class Normaliser, class Gradients>
void run_backward(const Call& call, const backward_inputs<T>& inputs,
                  const stats<T, Normaliser>& kept, const Gradients& gradients) {
    constexpr bool moves_keys = Call::has_positions;
    constexpr bool learns_scale = is_learned<std::remove_cvref_t<decltype(call.scale_as_given())>>;
    constexpr bool learns_normaliser =
        is_learned<std::remove_cvref_t<decltype(call.normaliser_as_given())>>;
    const attention_shape& shape = call.shape;
    const index rows = shape.batch * shape.heads * shape.queries;
    arena& own = call.memory().slot(0);
    const arena::scope mark(own);
    const auto entries = learned_modifiers<T>(call.parts(), gradients, shape,
                                              count_blocks(shape.keys, key_block<T>), own);
    using entries_type = std::remove_cvref_t<decltype(entries)>;
    const auto& modifiers = call.modifiers();
    using modifiers_type = std::remove_cvref_t<decltype(modifiers)>;
    double* scale_dots = learns_scale ? own.take<double>(rows) : nullptr;
    T* row_numbers = learns_normaliser ? own.take<T>(rows) : nullptr;

    with_program<T>(call, [&](const attention_program<T>& program, const auto& preparation) {
        const row_return_of<T, std::remove_cvref_t<decltype(preparation)>> back(preparation);
        const backward_call<T> backward_of{program,    back,        inputs.d_o,
                                           inputs.dq,  inputs.dk,   inputs.dv,
                                           scale_dots, row_numbers, writes_directly(entries)};
        if constexpr (row_normaliser<Normaliser>) {
            const row_gradient_rule_of<T, moves_keys, modifiers_type, Normaliser, entries_type>
                rule(program.place, modifiers, call.normaliser(), kept.data(), entries,
                     Call::only_adds);
            // What is learned wants to know of every score.
            constexpr bool may_use = is_sparse<typename stats<T, Normaliser>::stream_type> &&
                                     !learns_normaliser && !learns_modifiers<entries_type>;
            backward_whole_rows(backward_of, rule, may_use ? &kept.supports() : nullptr);
        } else {
            const auto lane_masks = select_lane_masks<moves_keys>(call.masks());
            const gradient_rule_of<T, moves_keys, std::remove_cvref_t<decltype(lane_masks)>,
                                   modifiers_type, Normaliser,
                                   typename stats<T, Normaliser>::row_statistics, entries_type>
                rule(program.place, lane_masks, modifiers, call.normaliser(), kept.data(),
                     inputs.d_lse, entries);
            backward(backward_of, rule, inputs.o);
        }
        finish_learned<T>(call, program.place, kept.data(), gradients, entries, scale_dots,
                          row_numbers);
    });
    finish_input_biases<T>(call.parts(), gradients, inputs.dq, inputs.dk);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
