#pragma once

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>

#include "linear/decay_problem.hpp"
#include "linear/delta_problem.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"

// A sequence by the delta rule, whole and in pieces.

namespace test_delta_state {

using namespace heed_test;
using heed::index;

constexpr index value_dim = 37;  // more than a vector, and no multiple of one

/// Inputs, β of every token, and decays of which some begin anew.
template <class T>
struct updated {
    linear_problem from;
    reference::tensor logs, deltas;
    linear_inputs<T> in;
    tensor3<T> g, beta;

    updated(generator& random, index length, index batch = 2)
        : from(random, {batch, 4, 2, 2, length, length, 5, value_dim}),
          logs(random_decays(random, from.sizes, 2)),
          deltas(random_deltas(random, from.sizes, 2)),
          in(from),
          g(to_decays<T>(logs)),
          beta(to_decays<T>(deltas)) {}

    template <class... Parts>
    tensor4<T> whole(const Parts&... parts) const {
        return heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::log_decay(g),
                                      heed::delta(beta), heed::unit_rows, parts...);
    }
};

/// o of some tokens, from a state that has seen those before.
template <class T, class... Parts>
void go_on(const updated<T>& all, heed::linear_state<T>& state, tensor4<T>& o, index first,
           index count, const Parts&... parts) {
    heed::linear_attention_into(
        tokens(o, first, count), tokens(all.in.q, first, count), tokens(all.in.k, first, count),
        tokens(all.in.v, first, count), heed::causal, heed::log_decay(tokens(all.g, first, count)),
        heed::delta(tokens(all.beta, first, count)), heed::unit_rows, heed::carry(state), parts...);
}

}  // namespace test_delta_state
