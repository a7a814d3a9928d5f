#pragma once

#include <exception>
#include <string>
#include <utility>

#include "attention/problem.hpp"
#include "support/catch.hpp"

/// \file
/// Calls that must be refused: by the right error, with the right words, and nothing written.

namespace heed_test {

/// f() throws Error, and its message is `message`.
template <class Error, class F>
void check_refused(const std::string& message, F&& f) {
    INFO(message);
    try {
        f();
        FAIL_CHECK("nothing was thrown");
    } catch (const Error& error) {
        CHECK(error.what() == message);
    } catch (const std::exception& error) {
        FAIL_CHECK("another error was thrown: " << error.what());
    }
}

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
