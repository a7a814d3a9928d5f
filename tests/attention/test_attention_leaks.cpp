#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

// NaN and infinities: where they are seen they arrive, and where they are not they never show.

namespace test_attention_leaks {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Sets some elements of a row of every head.
void poison_row(reference::tensor& x, index row, double value) {
    for (index b = 0; b < x.batches(); ++b)
        for (index h = 0; h < x.heads(); ++h) x(b, h, row, x.columns() / 2) = value;
}

/// The forward and all gradients of T.
template <class T>
struct results {
    tensor4<T> o, dq, dk, dv;
};
template <class T, class... Parts>
results<T> run(const inputs<T>& in, const Parts&... parts) {
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    return {o, gradient.q, gradient.k, gradient.v};
}

/// How many rows differ in their bits, or hold a NaN or not, otherwise than `expected(row)` says:
/// rows for which it is true hold a NaN, the others have the bits of `clean`.
template <class T, class Expected>
index wrong_rows(const tensor4<T>& x, const tensor4<T>& clean, const Expected& expected) {
    index wrong = 0;
    const index columns = x.dimension(3);
    for (index b = 0; b < x.dimension(0); ++b) {
        for (index h = 0; h < x.dimension(1); ++h) {
            for (index i = 0; i < x.dimension(2); ++i) {
                bool has_nan = false, same = true;
                for (index c = 0; c < columns; ++c) {
                    has_nan = has_nan || !std::isfinite(x(b, h, i, c));
                    same = same && x(b, h, i, c) == clean(b, h, i, c);
                }
                if (expected(b, i) ? !has_nan : (has_nan || !same)) ++wrong;
            }
        }
    }
    return wrong;
}

/// The same as far as rounding goes; a block that is not all finite sums its gradients of k and v
/// in another order.
template <class T>
bool are_close(const tensor4<T>& a, const tensor4<T>& b, index first_row = 0) {
    for (index batch = 0; batch < a.dimension(0); ++batch)
        for (index h = 0; h < a.dimension(1); ++h)
            for (index i = first_row; i < a.dimension(2); ++i)
                for (index c = 0; c < a.dimension(3); ++c)
                    if (!(std::abs(a(batch, h, i, c) - b(batch, h, i, c)) <=
                          T(1e3) * std::numeric_limits<T>::epsilon()))
                        return false;
    return true;
}

constexpr auto nowhere = [](index, index) { return false; };

TEMPLATE_TEST_CASE("a NaN in q is in its own row only", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(87);
    for (const extents& e : {extents{1, 2, 1, 17, 23, 8, 8}, extents{2, 1, 1, 130, 600, 5, 17}}) {
        const problem clean(random, e);
        problem dirty = clean;
        const index row = e.queries / 2;
        poison_row(dirty.q, row, nan);
        const auto expected = run(inputs<T>(clean), heed::causal);
        const auto result = run(inputs<T>(dirty), heed::causal);
        const auto own_row = [=](index, index i) { return i == row; };
        const index seen = row + 1 + e.keys - e.queries;
        CHECK(wrong_rows(result.o, expected.o, own_row) == 0);
        CHECK(wrong_rows(result.dq, expected.dq, own_row) == 0);
        for (index j = 0; j < seen; ++j) {
            CHECK(std::isnan(result.dk(0, 0, j, 0)));
            CHECK(std::isnan(result.dv(0, 0, j, 0)));
        }
        CHECK(are_close(result.dk, expected.dk, seen));
        CHECK(are_close(result.dv, expected.dv, seen));
    }
}

TEMPLATE_TEST_CASE("what the future holds does not leak into the past", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(88);
    for (const extents& e : {extents{1, 2, 1, 23, 23, 8, 8}, extents{2, 1, 1, 100, 600, 5, 17}}) {
        for (const double value : {nan, infinity, -infinity}) {
            const problem clean(random, e);
            problem dirty = clean;
            const index key = e.keys - 9;
            poison_row(dirty.k, key, value);
            poison_row(dirty.v, key, value);
            const auto expected = run(inputs<T>(clean), heed::causal);
            const auto result = run(inputs<T>(dirty), heed::causal);
            const index first = key - (e.keys - e.queries);  // the first query that sees it
            const auto later = [=](index, index i) { return i >= first; };
            INFO(to_string(e) << ", " << value);
            if (std::isnan(value)) {
                CHECK(wrong_rows(result.o, expected.o, later) == 0);
                CHECK(wrong_rows(result.dq, expected.dq, later) == 0);
            } else {
                // ±∞ in k is a score of ±∞, and may be seen without a NaN.
                index wrong = 0;
                for (index b = 0; b < e.batch; ++b)
                    for (index h = 0; h < e.heads; ++h)
                        for (index i = 0; i < first; ++i)
                            for (index c = 0; c < e.value_dim; ++c)
                                if (result.o(b, h, i, c) != expected.o(b, h, i, c)) ++wrong;
                CHECK(wrong == 0);
            }
        }
    }
}

TEMPLATE_TEST_CASE("padding may hold anything, forward and backward", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(89);
    for (const extents& e : {extents{3, 2, 1, 13, 37, 8, 8}, extents{3, 1, 1, 97, 600, 5, 17}}) {
        for (const double value : {nan, infinity}) {
            const problem clean(random, e);
            problem dirty = clean;
            const std::vector<index> lengths{e.keys - 7, 0, e.keys / 2};
            for (index b = 0; b < e.batch; ++b) {
                for (index j = lengths[static_cast<std::size_t>(b)]; j < e.keys; ++j) {
                    for (index h = 0; h < e.kv_heads; ++h) {
                        for (index c = 0; c < e.dim; ++c) dirty.k(b, h, j, c) = value;
                        for (index c = 0; c < e.value_dim; ++c) dirty.v(b, h, j, c) = -value;
                    }
                }
            }
            INFO(to_string(e) << ", " << value);
            const auto expected = run(inputs<T>(clean), heed::key_lengths(lengths));
            const auto result = run(inputs<T>(dirty), heed::key_lengths(lengths));
            CHECK(wrong_rows(result.o, expected.o, nowhere) == 0);
            CHECK(wrong_rows(result.dq, expected.dq, nowhere) == 0);
            CHECK(are_close(result.dk, expected.dk));
            CHECK(are_close(result.dv, expected.dv));
        }
    }
}

TEST_CASE("what a boolean mask hides may hold anything, in k, v, the bias, q and d_o") {
    generator random(90);
    for (const extents& e : {extents{1, 2, 1, 29, 37, 8, 8}, extents{1, 1, 1, 97, 600, 5, 17}}) {
        const problem clean(random, e);
        // Two kinds of keys, each seen by its own kind of queries; one kind is poisoned.
        const auto is_dirty_key = [](index j) { return j % 3 == 1; };
        const auto is_dirty_query = [](index i) { return i % 5 == 2; };
        Eigen::Tensor<bool, 2, Eigen::RowMajor> seen(e.queries, e.keys);
        reference::tensor bias = random_numbers(random, 1, 1, e.queries, e.keys);
        reference::tensor clean_bias = bias;
        problem dirty = clean;
        for (index i = 0; i < e.queries; ++i) {
            if (is_dirty_query(i)) {
                poison_row(dirty.q, i, infinity);
                poison_row(dirty.d_o, i, nan);
            }
            for (index j = 0; j < e.keys; ++j) {
                seen(i, j) = is_dirty_key(j) == is_dirty_query(i);
                if (!seen(i, j)) bias(0, 0, i, j) = j % 2 == 0 ? nan : infinity;
            }
        }
        for (index j = 0; j < e.keys; ++j) {
            if (!is_dirty_key(j)) continue;
            poison_row(dirty.k, j, nan);
            poison_row(dirty.v, j, infinity);
        }
        INFO(to_string(e));
        const auto results_of = [&](const problem& from, const reference::tensor& b) {
            const inputs<float> in(from);
            const auto values = to_tensor<float>(b);
            const auto part = heed::learn(heed::bias(values));
            const auto cap = heed::learn(heed::soft_cap(20));
            const auto mask = heed::boolean_mask(seen);
            const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, part, mask, cap);
            auto gradient =
                heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part, mask, cap);
            return std::tuple(o, gradient);
        };
        const auto [clean_o, clean_gradient] = results_of(clean, clean_bias);
        const auto [o, gradient] = results_of(dirty, bias);
        index wrong = 0;
        const auto near = [](float a, float b) { return std::abs(a - b) <= 1e-4F; };  // no NaN
        for (index h = 0; h < e.heads; ++h) {
            for (index i = 0; i < e.queries; ++i) {
                if (is_dirty_query(i)) continue;
                for (index c = 0; c < e.value_dim; ++c)
                    if (o(0, h, i, c) != clean_o(0, h, i, c)) ++wrong;
                for (index c = 0; c < e.dim; ++c)
                    if (!near(gradient.q(0, h, i, c), clean_gradient.q(0, h, i, c))) ++wrong;
            }
        }
        CHECK(wrong == 0);
        wrong = 0;
        for (index j = 0; j < e.keys; ++j) {
            if (is_dirty_key(j)) continue;
            for (index c = 0; c < e.dim; ++c)
                if (!near(gradient.k(0, 0, j, c), clean_gradient.k(0, 0, j, c))) ++wrong;
            for (index c = 0; c < e.value_dim; ++c)
                if (!near(gradient.v(0, 0, j, c), clean_gradient.v(0, 0, j, c))) ++wrong;
        }
        CHECK(wrong == 0);
        wrong = 0;
        for (index i = 0; i < e.queries; ++i)
            for (index j = 0; j < e.keys; ++j)
                if (!is_dirty_query(i) &&
                    !near(gradient.of<0>()(0, 0, i, j), clean_gradient.of<0>()(0, 0, i, j)))
                    ++wrong;
        CHECK(wrong == 0);

        // Only the bias is poisoned, and only where nobody looks: nothing may show, not even in
        // the gradient of a cap behind it.
        const auto [same_o, same_gradient] = results_of(clean, bias);
        CHECK(same_bits(same_o, clean_o));
        CHECK(same_bits(same_gradient.q, clean_gradient.q));
        CHECK(same_bits(same_gradient.k, clean_gradient.k));
        CHECK(same_bits(same_gradient.v, clean_gradient.v));
        CHECK(same_bits(same_gradient.of<0>(), clean_gradient.of<0>()));
        CHECK(same_gradient.of<1>()(0) == clean_gradient.of<1>()(0));
    }
}

TEST_CASE("a NaN that is seen arrives") {
    generator random(91);
    for (const extents& e : {extents{1, 2, 1, 17, 23, 8, 8}, extents{1, 1, 1, 100, 700, 5, 17}}) {
        const problem clean(random, e);
        const auto expected = run(inputs<float>(clean));
        const auto everywhere = [](index, index) { return true; };
        problem dirty = clean;
        poison_row(dirty.k, e.keys - 2, nan);
        auto result = run(inputs<float>(dirty));
        CHECK(wrong_rows(result.o, expected.o, everywhere) == 0);
        CHECK(wrong_rows(result.dq, expected.dq, everywhere) == 0);
        CHECK(wrong_rows(result.dk, expected.dk, everywhere) == 0);
        dirty = clean;
        poison_row(dirty.v, 1, nan);
        result = run(inputs<float>(dirty));
        for (index i = 0; i < e.queries; ++i) {
            CHECK(std::isnan(result.o(0, 0, i, e.value_dim / 2)));
            CHECK(std::isfinite(result.o(0, 0, i, 0)));
        }
        dirty = clean;
        poison_row(dirty.d_o, 3, nan);
        result = run(inputs<float>(dirty));
        const auto third = [](index, index i) { return i == 3; };
        CHECK(wrong_rows(result.o, expected.o, nowhere) == 0);
        CHECK(wrong_rows(result.dk, expected.dk, everywhere) == 0);
        CHECK(wrong_rows(result.dv, expected.dv, everywhere) == 0);
        index wrong = 0;
        for (index i = 0; i < e.queries; ++i)
            for (index c = 0; c < e.dim; ++c)
                if (std::isnan(result.dq(0, 0, i, c)) != third(0, i)) ++wrong;
        CHECK(wrong == 0);
    }
}

}  // namespace test_attention_leaks
