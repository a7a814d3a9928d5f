#pragma once

#include <array>
#include <initializer_list>
#include <string_view>
#include <tuple>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/shape.hpp>

/// \file
/// What every family of attention asks of its outputs' shapes and memory.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
void check_output(std::string_view name, const tensor_view<T, 4>& x,
                  const std::array<index, 4>& extents) {
    check_view(name, x);
    require_shape(x.extents == extents, name, " has shape ", x.extents, ", but must have ",
                  extents);
}

/// Refuses an output in which elements share memory, or that shares it with an input of the call.
template <class Call>
void check_output_memory(std::string_view name, const memory_span& output, const Call& call) {
    check_writable(name, output);
    call.see_inputs([&](std::string_view input_name, const memory_span& input) {
        check_apart(name, output, input_name, input);
    });
}

/// Refuses outputs of one kind that share memory with one another.
inline void check_all_apart(std::string_view name, std::string_view other,
                            std::initializer_list<memory_span> outputs) {
    for (const auto* later = outputs.begin(); later != outputs.end(); ++later)
        for (const auto* earlier = outputs.begin(); earlier != later; ++earlier)
            check_outputs_apart(name, *earlier, other, *later);
}

/// The gradients of q, k and v, and what else backward is given.
struct gradient_memory {
    memory_span dq, dk, dv, o, d_o;
};

/// Refuses gradients that share memory with inputs of the call, with o, d_o or one another; those
/// of what is learned too, a tuple of views.
template <class Call, class... Learned>
void check_gradient_memory(const gradient_memory& all, const Call& call,
                           const std::tuple<Learned...>& learned) {
    const auto check_memory = [&](std::string_view name, const memory_span& x) {
        check_output_memory(name, x, call);
        check_apart(name, x, "o", all.o);
        check_apart(name, x, "d_o", all.d_o);
    };
    check_memory("dq", all.dq);
    check_memory("dk", all.dk);
    check_memory("dv", all.dv);
    check_outputs_apart("dq", all.dq, "dk", all.dk);
    check_outputs_apart("dq", all.dq, "dv", all.dv);
    check_outputs_apart("dk", all.dk, "dv", all.dv);
    constexpr std::string_view of_learned = "the gradient of a learned part";
    [[maybe_unused]] const auto check_learned_memory = [&](const memory_span& x) {
        check_memory(of_learned, x);
        check_outputs_apart(of_learned, x, "dq", all.dq);
        check_outputs_apart(of_learned, x, "dk", all.dk);
        check_outputs_apart(of_learned, x, "dv", all.dv);
    };
    std::apply(
        [&](const auto&... view) {
            (check_learned_memory(view), ...);
            check_all_apart(of_learned, "that of another", {view...});
        },
        learned);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
