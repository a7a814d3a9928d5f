#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/distributed/merge.hpp>

#include "attention/problem.hpp"
#include "support/random.hpp"

/// \file
/// Attention over a sequence's keys in parts, merged.

namespace heed_test {

/// Keys first … last − 1.
struct cut {
    index first = 0, last = 0;
    index count() const { return last - first; }
};

/// All keys in two to five parts, some of them perhaps empty, in any order.
inline std::vector<cut> random_cuts(generator& random, index keys) {
    std::vector<index> ends{0, keys};
    for (index more = random.integer(1, 4); more > 0; --more)
        ends.push_back(random.integer(0, keys));
    std::sort(ends.begin(), ends.end());
    std::vector<cut> cuts;
    for (std::size_t i = 0; i + 1 < ends.size(); ++i) cuts.push_back({ends[i], ends[i + 1]});
    for (std::size_t i = cuts.size(); i-- > 1;)
        std::swap(cuts[i],
                  cuts[static_cast<std::size_t>(random.integer(0, static_cast<index>(i)))]);
    return cuts;
}

/// Rows of a cut, [batch, heads, count, columns], and where they are in the whole.
template <class T>
tensor4<T> rows_of(const tensor4<T>& x, const cut& of) {
    const Eigen::array<index, 4> first{0, 0, of.first, 0};
    const Eigen::array<index, 4> size{x.dimension(0), x.dimension(1), of.count(), x.dimension(3)};
    if (of.count() == 0) return tensor4<T>(size);  // Eigen's slices of nothing are undefined
    return x.slice(first, size);
}
template <class T>
void put_rows(const tensor4<T>& rows, const cut& of, tensor4<T>& x) {
    if (of.count() == 0) return;
    const Eigen::array<index, 4> first{0, 0, of.first, 0};
    x.slice(first, rows.dimensions()) = rows;
}

/// The positions of a cut's keys, and of queries that stand at the end of all keys.
inline std::vector<double> key_positions(const cut& of) {
    std::vector<double> at;
    for (index j = of.first; j < of.last; ++j) at.push_back(static_cast<double>(j));
    return at;
}
inline std::vector<double> query_positions(const extents& e) {
    return key_positions({e.keys - e.queries, e.keys});
}

/// o and stats of all keys from those of each cut. parts_of(cut) is a tuple of parts.
template <class T, class PartsOf, class... Rest>
auto merged_forward(const inputs<T>& in, const std::vector<cut>& cuts, const PartsOf& parts_of,
                    const Rest&... rest) {
    const auto forward = [&](const cut& of) {
        return std::apply(
            [&](const auto&... part) {
                return heed::attention_forward(in.q, rows_of(in.k, of), rows_of(in.v, of), part...);
            },
            parts_of(of));
    };
    auto whole = forward(cuts[0]);
    for (std::size_t i = 1; i < cuts.size(); ++i) {
        const auto part = forward(cuts[i]);
        heed::merge(whole.output, whole.stats, part.output, part.stats, rest...);
    }
    return whole;
}

/// The gradients of a whole call.
template <class T>
struct merged_gradients {
    tensor4<T> q, k, v;
};

/// Those of each cut's keys by themselves, dq summed over the cuts. `more` are parts of backward.
template <class T, class Result, class PartsOf, class... More>
merged_gradients<T> merged_backward(const inputs<T>& in, const std::vector<cut>& cuts,
                                    const Result& whole, const PartsOf& parts_of,
                                    const More&... more) {
    merged_gradients<T> sum{tensor4<T>(in.q.dimensions()), tensor4<T>(in.k.dimensions()),
                            tensor4<T>(in.v.dimensions())};
    sum.q.setZero();
    for (const cut& of : cuts) {
        const auto part = std::apply(
            [&](const auto&... parts) {
                return heed::attention_backward(in.d_o, whole.output, whole.stats, in.q,
                                                rows_of(in.k, of), rows_of(in.v, of), more...,
                                                parts...);
            },
            parts_of(of));
        sum.q += part.q;
        put_rows(part.k, of, sum.k);
        put_rows(part.v, of, sum.v);
    }
    return sum;
}

}  // namespace heed_test
