#pragma once

#include "attention/problem.hpp"
#include "support/refused.hpp"

/// \file
/// What calls that are refused must leave as it was.

namespace heed_test {

/// Outputs that must stay as they are.
struct outputs {
    tensor4<float> o, dq, dk, dv;

    explicit outputs(const extents& e)
        : o(e.batch, e.heads, e.queries, e.value_dim),
          dq(e.batch, e.heads, e.queries, e.dim),
          dk(e.batch, e.kv_heads, e.keys, e.dim),
          dv(e.batch, e.kv_heads, e.keys, e.value_dim) {
        for (auto* x : {&o, &dq, &dk, &dv}) x->setConstant(42);
    }
    bool are_untouched() const {
        for (const auto* x : {&o, &dq, &dk, &dv})
            for (index e = 0; e < x->size(); ++e)
                if (x->data()[e] != 42) return false;
        return true;
    }
};

inline constexpr extents refused_sizes{2, 4, 2, 6, 8, 4, 5};

}  // namespace heed_test
