#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>

#include "attention/reference_check.hpp"
#include "reference/masks.hpp"
#include "reference/row_normaliser.hpp"

/// \file
/// Attention with a normaliser that is not softmax, against the reference and against differences.

namespace heed_test {

/// But for some roundings of the largest number there is.
template <class T>
void check_near(const char* what, const reference::tensor& actual,
                const reference::tensor& expected, double slack) {
    INFO(what);
    double largest = 0, error = 0;
    for (std::size_t e = 0; e < expected.values.size(); ++e) {
        largest = std::max(largest, std::abs(expected.values[e]));
        const double difference = std::abs(actual.values[e] - expected.values[e]);
        if (!(difference <= error)) error = difference;
    }
    CHECK(error <= slack * static_cast<double>(std::numeric_limits<T>::epsilon()) * largest);
}

/// Forward and backward with these parts are the reference's.
template <class T, class... Parts>
void check_normaliser(const problem& from, const reference::options& how, const Parts&... parts) {
    INFO((std::is_same_v<T, float> ? "float, " : "double, ") << to_string(from.sizes));
    const double slack = 256 * from.slack;
    const inputs<T> in(from);
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    const auto expected = attention_backward(from.d_o, exact, from.q, from.k, from.v, how);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    check_near<T>("o", to_reference(o, exact.o), exact.o, slack);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    check_near<T>("dq", to_reference(gradient.q, from.q), expected.q, slack);
    check_near<T>("dk", to_reference(gradient.k, from.k), expected.k, slack);
    check_near<T>("dv", to_reference(gradient.v, from.v), expected.v, slack);
}

/// Σ d_o·o
template <class... Parts>
double output_loss(const inputs<double>& in, const Parts&... parts) {
    const auto o = heed::attention(in.q, in.k, in.v, parts...);
    double sum = 0;
    for (index e = 0; e < o.size(); ++e) sum += o.data()[e] * in.d_o.data()[e];
    return sum;
}

/// The gradients are the slopes of Σ d_o·o; returns them.
template <class... Parts>
auto check_output_differences(generator& random, const problem& from, const Parts&... parts) {
    INFO(to_string(from.sizes));
    inputs<double> in(from);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    const auto loss = [&] { return output_loss(in, parts...); };
    const double largest = largest_of(gradient);
    check_slopes("dq by differences", random, 8, in.q, gradient.q, loss, largest);
    check_slopes("dk by differences", random, 8, in.k, gradient.k, loss, largest);
    check_slopes("dv by differences", random, 8, in.v, gradient.v, loss, largest);
    return gradient;
}

/// All of that, under a causal mask, for problems of many extents.
template <class... Scalars, class Normaliser>
void check_causal_normaliser(const Normaliser& normaliser, const reference::row_normaliser& exact) {
    for_problems(81, [&](generator& random, const problem& from) {
        reference::options how;
        how.normaliser = exact;
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        (check_normaliser<Scalars>(from, how, heed::causal, normaliser), ...);
        check_output_differences(random, from, heed::causal, normaliser);
    });
}

}  // namespace heed_test
