#pragma once

#include <cmath>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>

/// \file
/// Numbers of S and Z that a head holds, the keys of its chunk included, in double.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What a feature is a multiple of: 2^reference.
template <class T>
double feature_unit(const head_sums<T>& of, index feature) {
    return std::exp2(static_cast<double>(of.reference[feature]));
}

/// A number of S as a multiple of its feature's unit.
template <class T>
double relative_sum_of(const head_sums<T>& of, index feature, index column) {
    const index keys = of.progress->keys;
    const double until = keys == 0 ? 0 : of.decays[keys - 1].value();  // 0 without decays
    double sum = 0;
    if (!of.progress->anew)
        sum = std::exp(until) * (static_cast<double>(of.s.sum[feature][column]) +
                                 static_cast<double>(of.s.lost[feature][column]));
    for (index j = 0; j < keys; ++j)
        sum += std::exp(until - of.decays[j].value()) *
               static_cast<double>(of.keys[feature * chunk_length + j]) *
               static_cast<double>(of.values[j][column]);
    return sum;
}
/// The same where decays are a channel's, which have no units.
template <class T>
double channel_sum_of(const head_sums<T>& of, index feature, index column) {
    const channel_parts<T> g = of.channels();
    const index keys = of.progress->keys;
    const double since = keys == 0 ? 0 : two_parts<T>{g.high[feature], g.low[feature]}.value();
    double sum = static_cast<double>(of.s.sum[feature][column]) +
                 static_cast<double>(of.s.lost[feature][column]);
    for (index j = 0; j < keys; ++j)
        sum += static_cast<double>(channel_unit<T>) *
               static_cast<double>(of.keys[feature * chunk_length + j]) *
               static_cast<double>(of.values[j][column]);
    return std::exp(since) * sum;
}

/// A number of Z as a multiple of its feature's unit.
template <class T>
double relative_total_of(const head_sums<T>& of, index feature) {
    return static_cast<double>(of.total[feature]) + static_cast<double>(of.total_lost[feature]) +
           static_cast<double>(of.running[feature]);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
