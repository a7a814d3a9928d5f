#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>

#include <heed/heed.hpp>

#include "golden.hpp"
#include "reference_options.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// Compares heed's attention with PyTorch's: each element within heed's accuracy bound. An example
/// is in one scalar: tests/attention compares both with the reference, and test_golden_reference
/// the reference with PyTorch.

namespace golden {

/// A dense Eigen object as the reference's tensor, of the extents of `like`.
template <class Dense>
reference::tensor to_reference(const Dense& from, const reference::tensor& like) {
    reference::tensor to = zeros_like(like);
    REQUIRE(static_cast<std::size_t>(from.size()) == to.values.size());
    std::copy_n(from.data(), from.size(), to.values.begin());
    return to;
}

/// The bounds of the gradient of the example's learned parameter.
inline reference::tensor learned_bound(const std::string& label, const example& x,
                                       const reference::gradient_bounds& bounds) {
    if (label == "bias") return sum_to(bounds.scores[1], x.reference("bias"));
    if (label == "sink") return row_of(bounds.sink);
    if (label == "scale") return row_of(bounds.scale_of_head);
    reference::tensor weighted = bounds.scores[1];
    if (label == "slopes") {
        const index shift = weighted.columns() - weighted.rows();
        for_each_row(weighted, [&](index b, index h, index i) {
            for (index j = 0; j < weighted.columns(); ++j)
                weighted(b, h, i, j) *= static_cast<double>(std::abs(i + shift - j));
        });
        reference::tensor sum = sum_to(weighted, reference::tensor(1, weighted.heads(), 1, 1));
        sum.extents = {1, 1, 1, weighted.heads()};
        return sum;
    }
    // The derivative of c·tanh(s/c) to c is t − x(1 − t²), of which each term is at most 1.
    REQUIRE(label == "cap");
    for (double& element : weighted.values) element *= 2;
    return sum_to(weighted, reference::tensor(1, 1, 1, 1));
}

/// An example as heed's inputs, and the checks of what heed makes of them.
template <class T>
class comparison {
  public:
    comparison(const std::string& file, const std::string& name)
        : x_(load(file, name)),
          how_(options_of(name, x_)),
          q(x_.tensor<T, 4>("q")),
          k(x_.tensor<T, 4>("k")),
          v(x_.tensor<T, 4>("v")),
          d_o(x_.tensor<T, 4>("d_o")) {
        const auto exact_q = x_.reference("q"), exact_k = x_.reference("k"),
                   exact_v = x_.reference("v");
        reference::tensor d_lse;
        if (x_.has("d_log_sum_exp")) {
            d_lse = x_.reference("d_log_sum_exp");
            d_lse.extents = {exact_q.batches(), exact_q.heads(), exact_q.rows(), 1};
        }
        const auto exact = attention_forward(exact_q, exact_k, exact_v, how_);
        forward_ = reference::forward_bounds<T>(exact, exact_v, how_);
        backward_ = reference::backward_bounds<T>(x_.reference("d_o"), exact, exact_q, exact_k,
                                                  exact_v, how_, d_lse);
    }

    template <class Stats>
    void check_forward(const tensor4<T>& o, const Stats& stats) const {
        check("o", o, forward_.o);
        // With a temperature the statistics' log-sum-exp is that of the scores over τ.
        if (how_.temperature != 1) return;
        reference::tensor bound = x_.reference("log_sum_exp");  // which is rounded itself
        for (std::size_t e = 0; e < bound.values.size(); ++e)
            bound.values[e] = forward_.log_sum_exp.values[e] +
                              std::numeric_limits<T>::epsilon() * std::abs(bound.values[e]);
        check("log_sum_exp", stats.log_sum_exp(), bound);
    }

    /// `learned` names the parameter whose gradient is behind v's, if there is one.
    template <class Gradient>
    void check_backward(const Gradient& gradient, const std::string& learned = "") const {
        check("d_q", gradient.q, backward_.q);
        check("d_k", gradient.k, backward_.k);
        check("d_v", gradient.v, backward_.v);
        if constexpr (std::tuple_size_v < Gradient >> 3)
            check("d_" + learned, gradient.template of<0>(), learned_bound(learned, x_, backward_));
    }

  private:
    template <class Dense>
    void check(const std::string& label, const Dense& actual, reference::tensor bound) const {
        INFO(label);
        const reference::tensor expected = x_.reference(label);
        // The files hold 12 digits, which is less than a double's.
        for (double& element : bound.values)
            element += 1e-11 * reference::largest_magnitude(expected);
        CHECK(reference::largest_ratio(to_reference(actual, expected), expected, bound) <= 1);
    }

    const example& x_;
    reference::options how_;
    reference::attention_bounds forward_;
    reference::gradient_bounds backward_;

  public:
    tensor4<T> q, k, v, d_o;
};

/// Runs the example `name` of data/<file>.txt with heed's `parts`, forward and backward.
template <class T, class... Parts>
void check_attention(const std::string& file, const std::string& name, const std::string& learned,
                     const Parts&... parts) {
    INFO(file << " " << name << ", " << (std::is_same_v<T, float> ? "float" : "double"));
    const comparison<T> compare(file, name);
    const auto forward = heed::attention_forward(compare.q, compare.k, compare.v, parts...);
    const auto& [o, stats] = forward;
    compare.check_forward(o, stats);
    compare.check_backward(
        heed::attention_backward(compare.d_o, o, stats, compare.q, compare.k, compare.v, parts...),
        learned);
}

}  // namespace golden
