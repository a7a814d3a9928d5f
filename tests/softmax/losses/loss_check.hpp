#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>

#include "reference/losses.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/scalars.hpp"

/// \file
/// Holds losses on rows to losses on one row.

namespace heed_test {

/// One label in [0, classes) for each row, and now and then −1, for the ignored.
inline std::vector<int> random_labels(generator& random, std::size_t rows, std::size_t classes) {
    std::vector<int> labels(rows);
    for (int& label : labels)
        label = random.chance(0.2)
                    ? -1
                    : static_cast<int>(random.integer(0, static_cast<std::ptrdiff_t>(classes) - 1));
    return labels;
}

/// Whether losses and gradients of rows are `one(row, label)`, as close as the rounding of logits
/// allows, relative to `scale`, the sum of the absolute values that make an element. An ignored row
/// has zeros.
template <class T, class One>
bool agree(const std::vector<reference::row>& rows, const std::vector<int>& labels,
           const std::vector<double>& losses, const std::vector<reference::row>& gradients,
           const One& one, double tau = 1) {
    if (losses.size() != rows.size() || gradients.size() != rows.size()) return false;
    bool close = true;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        reference::loss expected{0, reference::row(rows[r].size(), 0)};
        double factor = 0;
        if (labels[r] >= 0) {
            expected = one(rows[r], static_cast<std::size_t>(labels[r]));
            double largest = 0;
            for (const double x : rows[r]) largest = std::max(largest, std::abs(x));
            factor = (16 + 8 * largest / tau) * unit<T>;
        }
        close &= std::abs(losses[r] - expected.value) <= factor * (1 + std::abs(expected.value));
        for (std::size_t i = 0; i < rows[r].size(); ++i)
            close &= std::abs(gradients[r][i] - expected.gradient[i]) <= factor / tau;
    }
    return close;
}

/// The same for a row-major and a column-major matrix of random logits.
template <class T, class Loss, class One>
void check_loss(const Loss& loss, const One& one, double deviation = 2, double tau = 1) {
    generator random;
    const auto check = [&](const auto& x) {
        const auto rows = rows_of(x);
        const auto labels = random_labels(random, rows.size(), rows[0].size());
        const auto [losses, gradient] = loss.ignored_label(-1).per_row().with_gradient(x, labels);
        CHECK(agree<T>(rows, labels, numbers_of(losses), rows_of(gradient), one, tau));
        CHECK(numbers_of(loss.ignored_label(-1).per_row()(x, labels)) == numbers_of(losses));
    };
    for (const Eigen::Index columns : {1, 2, 37, 64, 2051}) {
        Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(19, columns);
        random.fill_normal(x, deviation);
        check(x);
        check(Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>(x));
    }
}

/// Whether the gradient of the rows' sum is that of central differences.
template <class Loss>
void check_differences(const Loss& mean, double deviation = 1) {
    if constexpr (is_tested<double>) {
        generator random;
        const auto loss = mean.sum();
        Eigen::MatrixXd x(4, 13);
        random.fill_normal(x, deviation);
        const std::vector<int> labels{3, 0, 12, 7};
        const auto gradient = loss.with_gradient(x, labels).gradient;
        double worst = 0;
        const double h = 1e-5 * deviation;
        for (Eigen::Index i = 0; i < x.size(); ++i) {
            const double before = x.data()[i];
            x.data()[i] = before + h;
            const double above = loss(x, labels);
            x.data()[i] = before - h;
            const double below = loss(x, labels);
            x.data()[i] = before;
            worst = std::max(worst, std::abs((above - below) / (2 * h) - gradient.data()[i]));
        }
        CHECK(worst <= 1e-7 * gradient.cwiseAbs().maxCoeff());
    }
}

}  // namespace heed_test
