#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/view.hpp>
#include <heed/linear/units/unit_state.hpp>

#include "reference/tensor.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"

/// \file
/// Inputs of recurrent units, and what is asked of each.

namespace heed_test {

using heed::index;

template <class T, int Order = Eigen::RowMajor>
using unit_tensor = Eigen::Tensor<T, 3, Order>;

struct unit_extents {
    index batch, tokens, channels;
};

/// Small extents that fit nothing: around blocks, vectors and groups, primes, 1 and 0.
inline unit_extents random_unit_extents(generator& random) {
    return {random.one_of<index>({1, 1, 2, 3}), random.one_of<index>({0, 1, 2, 31, 32, 33, 67}),
            random.one_of<index>({1, 3, 16, 17, 32, 37})};
}
inline std::string to_string(const unit_extents& e) {
    return "seed " + std::to_string(seed()) + ", batch " + std::to_string(e.batch) + ", tokens " +
           std::to_string(e.tokens) + ", channels " + std::to_string(e.channels);
}

/// Normal numbers that floats hold, in a tensor of the references: [batch, 1, rows, columns].
inline reference::tensor normal_tensor(generator& random, index batch, index rows, index columns,
                                       double deviation = 1) {
    reference::tensor x(batch, 1, rows, columns);
    for (double& number : x.values) number = static_cast<float>(random.normal(deviation));
    return x;
}
inline std::vector<double> uniform_numbers(generator& random, index count, double low,
                                           double high) {
    std::vector<double> numbers(static_cast<std::size_t>(count));
    for (double& number : numbers) number = static_cast<float>(random.uniform(low, high));
    return numbers;
}

template <class T>
unit_tensor<T> as_tensor(const reference::tensor& from) {
    unit_tensor<T> to(from.batches(), from.rows(), from.columns());
    std::transform(from.values.begin(), from.values.end(), to.data(),
                   [](double x) { return static_cast<T>(x); });
    return to;
}
template <class T>
std::vector<T> as_vector(const std::vector<double>& from) {
    return {from.begin(), from.end()};
}
/// Row i of every sequence of x, as a part of a state.
template <class T>
Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> as_part(const reference::tensor& x, index i) {
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> to(x.batches(), x.columns());
    for (index b = 0; b < x.batches(); ++b)
        for (index c = 0; c < x.columns(); ++c) to(b, c) = static_cast<T>(x(b, 0, i, c));
    return to;
}

template <class T>
void near(const char* name, const unit_tensor<T>& found, const reference::tensor& expected,
          double tolerance) {
    INFO(name);
    REQUIRE(found.size() == static_cast<index>(expected.values.size()));
    double most = 1, difference = 0;
    for (index e = 0; e < found.size(); ++e) {
        const double x = expected.values[static_cast<std::size_t>(e)];
        most = std::max(most, std::abs(x));
        difference = std::max(difference, std::abs(static_cast<double>(found.data()[e]) - x));
    }
    CHECK(difference <= tolerance * most);
}

/// Numbers of any two objects with data() and size(): the first are the second's, rounded.
template <class A, class B>
void near_numbers(const char* name, const A& found, const B& expected, double tolerance) {
    INFO(name);
    REQUIRE(found.size() == expected.size());
    double most = 1, difference = 0;
    for (index e = 0; e < static_cast<index>(found.size()); ++e) {
        const auto x = static_cast<double>(expected.data()[e]);
        most = std::max(most, std::abs(x));
        difference = std::max(difference, std::abs(static_cast<double>(found.data()[e]) - x));
    }
    CHECK(difference <= tolerance * most);
}

/// `gradient` is the central difference of the loss along a direction through all of x and at two
/// of its numbers.
inline void check_slopes(generator& random, const char* name, std::vector<double>& x,
                         const double* gradient, const std::function<double()>& loss) {
    if (x.empty()) return;
    const std::vector<double> here = x;
    constexpr double step = 1e-5;
    const double most =
        std::accumulate(gradient, gradient + x.size(), 1.0,
                        [](double largest, double g) { return std::max(largest, std::abs(g)); });
    for (int time = 0; time < 3; ++time) {
        std::vector<double> direction(x.size());
        if (time == 0)
            for (double& d : direction)
                d = random.normal(1 / std::sqrt(static_cast<double>(x.size())));
        else
            direction[static_cast<std::size_t>(
                random.integer(0, static_cast<index>(x.size()) - 1))] = 1;
        for (std::size_t e = 0; e < x.size(); ++e)
            if (!std::isfinite(here[e])) direction[e] = 0;
        const auto loss_at = [&](double distance) {
            for (std::size_t e = 0; e < x.size(); ++e)
                if (direction[e] != 0) x[e] = here[e] + distance * direction[e];
            return loss();
        };
        const double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
        const double expected =
            std::inner_product(direction.begin(), direction.end(), gradient, 0.0);
        INFO(name << ", direction " << time);
        CHECK(std::abs(expected - slope) <= 1e-7 * most);
        x = here;
    }
}

/// Tokens first … first + count − 1 of every sequence, where they lie.
template <class T>
auto tokens_of(unit_tensor<T>& x, index first, index count) {
    const index n = x.dimension(1), c = x.dimension(2);
    return heed::view(x.data() + first * c, {x.dimension(0), count, c}, {n * c, c, 1});
}
/// Sequence b alone.
template <class T>
auto sequence_of(unit_tensor<T>& x, index b) {
    return heed::view(x.data() + b * x.dimension(1) * x.dimension(2),
                      {x.dimension(1), x.dimension(2)});
}

template <class T>
unit_tensor<T, Eigen::ColMajor> column_major(const unit_tensor<T>& x) {
    unit_tensor<T, Eigen::ColMajor> to(x.dimensions());
    for (index b = 0; b < x.dimension(0); ++b)
        for (index t = 0; t < x.dimension(1); ++t)
            for (index c = 0; c < x.dimension(2); ++c) to(b, t, c) = x(b, t, c);
    return to;
}

template <class T>
bool same_states(const heed::unit_state<T>& a, const heed::unit_state<T>& b) {
    if (a.parts() != b.parts()) return false;
    for (index i = 0; i < a.parts(); ++i)
        if (!same_bits(a.part(i), b.part(i))) return false;
    return true;
}

}  // namespace heed_test
