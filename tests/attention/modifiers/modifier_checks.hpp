#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/core/view.hpp>

#include "attention/part_rows.hpp"
#include "reference/modifiers.hpp"
#include "support/catch.hpp"

/// \file
/// What a modifier makes of scores, and its gradients, against its definition.

namespace heed_test {

template <class T>
inline constexpr double epsilon = std::numeric_limits<T>::epsilon();

/// The largest error of a modifier's values, relative to |expected| + `size`, over random scores of
/// a call; and of its derivative, if it has one, relative to |expected| + 1.
template <class T, class Modifier>
double largest_error(const Modifier& modifier, const heed::attention_shape& shape,
                     const reference::modifier& expected, double size, generator& random) {
    modifier.check(shape);
    double largest = 0;
    for_each_row(shape, [&](const heed::query_row& row) {
        const auto on_row = modifier.template on_row<T>(row);
        for (index first = 0; first < shape.keys; first += heed::vec<T>::size) {
            const auto keys = keys_at<T>(shape, first);
            auto scores = numbers(heed::vec<T>(T(0)));
            for (T& s : scores) s = static_cast<T>(random.normal(3));
            const auto s = heed::vec<T>::load(scores.data());
            const auto out = on_row(s, keys);
            const auto values = numbers(out);
            std::vector<T> derivatives(values.size(), T(1));
            if constexpr (requires { on_row.derivative(s, out, keys); })
                derivatives = numbers(on_row.derivative(s, out, keys));
            for (index l = 0; l < keys.count; ++l) {
                const auto lane = static_cast<std::size_t>(l);
                const auto place = [&](const auto& f) {
                    return f(static_cast<double>(scores[lane]), row.batch, row.head, row.query,
                             first + l);
                };
                const double value = place(expected.value);
                const double slope = place(expected.derivative);
                largest = std::max(largest, std::abs(static_cast<double>(values[lane]) - value) /
                                                (std::abs(value) + size));
                largest =
                    std::max(largest, std::abs(static_cast<double>(derivatives[lane]) - slope) /
                                          (std::abs(slope) + 1));
            }
        }
    });
    return largest;
}

/// A modifier against its definition, in T.
template <class T, class Modifier>
void check_modifier(const Modifier& modifier, const heed::attention_shape& shape,
                    const reference::modifier& expected, double size, generator& random) {
    INFO("batch " << shape.batch << ", heads " << shape.heads << ", queries " << shape.queries
                  << ", keys " << shape.keys);
    CHECK(largest_error<T>(modifier, shape, expected, size, random) < 8 * epsilon<T>);
}

/// The tensor as the references have it.
template <class Tensor>
reference::tensor as_reference(const Tensor& tensor) {
    const auto all = heed::detail::rank4(heed::detail::evaluate(tensor).view());
    reference::tensor result(all.extents[0], all.extents[1], all.extents[2], all.extents[3]);
    reference::for_each_row(result, [&](index b, index h, index i) {
        for (index j = 0; j < result.columns(); ++j)
            result(b, h, i, j) = static_cast<double>(all(b, h, i, j));
    });
    return result;
}

/// The gradient of L = Σ w·f(s) with respect to a modifier's parameter, as backward gathers it: the
/// keys in blocks of `block`, w and s random numbers of (b, h, i, j).
struct weighted_scores {
    heed::attention_shape shape;
    reference::tensor scores, weights;

    weighted_scores(const heed::attention_shape& call, generator& random)
        : shape(call),
          scores(call.batch, call.heads, call.queries, call.keys),
          weights(call.batch, call.heads, call.queries, call.keys) {
        for (double& s : scores.values) s = random.normal(3);
        for (double& w : weights.values) w = random.chance(0.2) ? 0 : random.normal();
    }

    template <class T>
    heed::vec<T> vector_of(const reference::tensor& x, const heed::query_row& row,
                           const heed::key_lanes<T>& keys) const {
        auto lanes = numbers(heed::vec<T>(T(0)));
        for (index l = 0; l < keys.count; ++l)
            lanes[static_cast<std::size_t>(l)] =
                static_cast<T>(x(row.batch, row.head, row.query, keys.first + l));
        return heed::vec<T>::load(lanes.data());
    }

    template <class T, class Modifier>
    auto gradient(const Modifier& modifier) const {
        const index block = 2 * heed::vec<T>::size;
        const index blocks = (shape.keys + block - 1) / block;
        auto result = modifier.template make_gradient<T>(shape);
        const auto view = heed::detail::view_of(result);
        const index count = modifier.template partials<T>();
        std::vector<T> partials(
            static_cast<std::size_t>(shape.batch * shape.heads * blocks * count));
        for_each_row(shape, [&](const heed::query_row& row) {
            const auto on_row = modifier.template on_row<T>(row);
            for (index first = 0; first < shape.keys; first += heed::vec<T>::size) {
                const auto keys = keys_at<T>(shape, first);
                const index place = (row.batch * shape.heads + row.head) * blocks + first / block;
                const auto s = vector_of<T>(scores, row, keys);
                modifier.template add_gradient<T>(view, partials.data() + place * count, row, keys,
                                                  s, on_row(s, keys),
                                                  vector_of<T>(weights, row, keys));
            }
        });
        modifier.template finish_gradient<T>(view, partials.data(), shape, blocks);
        return result;
    }

    /// L, and the sum of its terms' absolute values.
    double loss(const reference::modifier& modifier, bool absolute = false) const {
        double sum = 0;
        reference::for_each_row(scores, [&](index b, index h, index i) {
            for (index j = 0; j < shape.keys; ++j) {
                const double term =
                    weights(b, h, i, j) * modifier.value(scores(b, h, i, j), b, h, i, j);
                sum += absolute ? std::abs(term) : term;
            }
        });
        return sum;
    }
};

}  // namespace heed_test
