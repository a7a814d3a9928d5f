#pragma once

#include <algorithm>
#include <cstddef>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/view.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/decay_problem.hpp"
#include "linear/problem.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"

// A sequence of linear attention, piece by piece.

namespace heed_test {

/// Tokens first … first + count − 1 of every sequence.
template <class T>
auto tokens(const tensor4<T>& x, index first, index count) {
    const index n = x.dimension(2), d = x.dimension(3), h = x.dimension(1);
    return heed::view(const_cast<T*>(x.data()) + first * d, {x.dimension(0), h, count, d},
                      {h * n * d, n * d, d, 1});
}
template <class T>
auto tokens(const tensor3<T>& x, index first, index count) {
    const index n = x.dimension(2), h = x.dimension(1);
    return heed::view(x.data() + first, {x.dimension(0), h, count}, {h * n, n, 1});
}

/// The whole of make(random, n), a sequence of n tokens in T, in pieces of many lengths, each by
/// go_on(sequence, state, o, first, count) in the sequence's namespace.
template <class T, class Make>
void check_pieces_of(generator& random, const Make& make) {
    for (const index n : {1, 31, 32, 33, 131}) {
        const auto all = make(random, n);
        const tensor4<T> whole = all.whole();
        for (const index longest : {index(1), index(5), index(40), index(100)}) {
            INFO("seed " << seed() << ", " << n << " tokens, pieces of at most " << longest);
            heed::linear_state<T> state;
            tensor4<T> o(whole.dimensions());
            for (index first = 0; first < n;) {
                const index count =
                    std::min(n - first, longest == 1 ? 1 : random.integer(1, longest));
                go_on(all, state, o, first, count);
                first += count;
            }
            CHECK(same_bits(o, whole));
            CHECK(state.length() == n);
        }
    }
}
/// The same of a Sequence(random, n).
template <class Sequence, class T>
void check_pieces(generator& random) {
    check_pieces_of<T>(random, [](generator& numbers, index n) { return Sequence(numbers, n); });
}

}  // namespace heed_test
