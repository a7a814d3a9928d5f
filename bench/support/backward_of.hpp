#pragma once

#include <utility>

#include <heed/attention/attention.hpp>

#include "support/problem.hpp"

/// \file
/// Backward of an attention, to be measured.

namespace heed_bench {

/// A function that runs backward again and again into the same memory; v stands for d_o.
template <class T, class... Parts>
auto backward_of(problem<T>& in, const Parts&... parts) {
    auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    auto gradients = heed::attention_backward(in.v, o, stats, in.q, in.k, in.v, parts...);
    return [&in, o = std::move(o), stats = std::move(stats), gradients = std::move(gradients),
            parts...]() mutable {
        heed::attention_backward_into(gradients, in.v, o, stats, in.q, in.k, in.v, parts...);
    };
}

}  // namespace heed_bench
