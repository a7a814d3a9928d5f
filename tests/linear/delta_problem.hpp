#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>

#include "linear/decay_problem.hpp"
#include "linear/problem.hpp"

/// \file
/// Inputs of linear attention by the delta rule, and what it must be.

namespace heed_test {

/// Keys about as long as 1, or of any length where heed::unit_rows is to make them so.
inline void stabilise(linear_problem& from, bool unit_rows) {
    if (unit_rows) return;
    const double factor = 1 / std::sqrt(static_cast<double>(from.sizes.dim));
    for (double& x : from.k.values) x = static_cast<double>(static_cast<float>(x * factor));
}

/// β of every token, of heads that divide those of o: in (0, 1) mostly, some 0, 1 and 2.
inline reference::tensor random_deltas(generator& random, const linear_extents& e, index heads) {
    reference::tensor deltas(e.batch, heads, e.keys, 1);
    for (double& x : deltas.values) {
        x = static_cast<double>(static_cast<float>(random.uniform(0.05, 0.95)));
        if (random.chance(0.06)) x = random.one_of<double>({0, 1, 2});
    }
    return deltas;
}

/// What β, and decays if there are, are to the reference.
inline reference::linear_options with_deltas(const linear_problem& from,
                                             const reference::tensor& deltas,
                                             const std::optional<reference::tensor>& logs,
                                             bool unit_rows) {
    reference::linear_options how = with_decays(from, deltas);
    how.log_decays = logs;
    how.deltas = deltas;
    how.unit_rows = unit_rows;
    if (logs) {
        const double factor = how.scale.front();
        how.scale.assign(std::max(how.scale.size(), static_cast<std::size_t>(logs->heads())),
                         factor);
    }
    return how;
}

/// Decays and unit rows as parts. Those that are not there are chosen at run time, so that all is
/// compiled once.
template <class T>
struct parts_beside_update {
    tensor3<T> g;
    bool decays, unit_rows;

    explicit parts_beside_update(const reference::linear_options& how)
        : decays(how.log_decays.has_value()), unit_rows(how.unit_rows) {
        if (decays) g = to_decays<T>(*how.log_decays);
    }

    auto decay() const {
        auto part = std::make_optional(heed::learn(heed::log_decay(g)));
        if (!decays) part.reset();
        return part;
    }
    std::optional<heed::unit_rows_part> norm() const {
        if (!unit_rows) return {};
        return heed::unit_rows;
    }
};

/// β beside them.
template <class T>
struct delta_parts : parts_beside_update<T> {
    tensor3<T> beta;

    explicit delta_parts(const reference::linear_options& how)
        : parts_beside_update<T>(how), beta(to_decays<T>(*how.deltas)) {}

    auto delta() const { return heed::learn(heed::delta(beta)); }
};

}  // namespace heed_test
