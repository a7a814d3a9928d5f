#pragma once

#include <cmath>
#include <optional>

#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/low_rank.hpp>

#include "linear/channel_problem.hpp"
#include "linear/decay_problem.hpp"
#include "linear/delta_problem.hpp"
#include "linear/problem.hpp"

/// \file
/// Inputs of linear attention by an update of low rank, and what it must be.

namespace heed_test {

/// What decays there are beside it.
enum class fading { none, tokens, channels };

/// Decays of which those that a float takes for a clearing clear in double too.
inline std::optional<reference::tensor> random_fading(generator& random, const linear_extents& e,
                                                      index heads, fading kind) {
    if (kind == fading::none) return {};
    reference::tensor logs = kind == fading::tokens ? random_decays(random, e, heads)
                                                    : random_channel_decays(random, e, heads);
    for (double& x : logs.values)
        if (x < -100) x = -HUGE_VAL;
    return logs;
}

/// What an update of low rank by rows a and b is to the reference.
inline reference::linear_options with_low_rank(const linear_problem& from,
                                               const reference::tensor& a,
                                               const reference::tensor& b,
                                               const std::optional<reference::tensor>& logs,
                                               bool unit_rows) {
    reference::linear_options how = with_deltas(from, a, logs, unit_rows);
    how.deltas.reset();
    how.a = a;
    how.b = b;
    return how;
}

/// a about −κ̂ and b about κ̂⊙η, κ̂ being of length 1 and η between 0 and 1; some tokens have neither.
struct corrections {
    reference::tensor a, b;

    corrections(generator& random, const linear_extents& e, index heads)
        : a(random_numbers(random, e.batch, heads, e.keys, e.dim)), b(a) {
        for (index s = 0; s < e.batch; ++s) {
            for (index h = 0; h < heads; ++h) {
                for (index t = 0; t < e.keys; ++t) {
                    double square = 1e-3;
                    for (index f = 0; f < e.dim; ++f) square += a(s, h, t, f) * a(s, h, t, f);
                    const bool none = random.chance(0.05);
                    for (index f = 0; f < e.dim; ++f) {
                        const auto rounded = [&](double x) {
                            return none ? 0 : static_cast<double>(static_cast<float>(x));
                        };
                        const double direction = a(s, h, t, f) / std::sqrt(square);
                        a(s, h, t, f) = rounded(random.normal(0.03) - direction);
                        b(s, h, t, f) =
                            rounded(random.normal(0.03) + direction * random.uniform(0.05, 0.95));
                    }
                }
            }
        }
    }
};
/// Such rows, as the reference takes them.
inline reference::linear_options correcting(generator& random, const linear_problem& from,
                                            index heads,
                                            const std::optional<reference::tensor>& logs,
                                            bool unit_rows) {
    const corrections rows(random, from.sizes, heads);
    return with_low_rank(from, rows.a, rows.b, logs, unit_rows);
}

/// The same as parts, as delta_parts has them.
template <class T>
struct low_rank_parts {
    fading kind = fading::none;
    tensor3<T> g;
    tensor4<T> g_channels, a, b;
    bool unit_rows;

    explicit low_rank_parts(const reference::linear_options& how)
        : a(to_tensor<T>(*how.a)), b(to_tensor<T>(*how.b)), unit_rows(how.unit_rows) {
        if (!how.log_decays) return;
        kind = how.log_decays->columns() == 1 ? fading::tokens : fading::channels;
        if (kind == fading::tokens)
            g = to_decays<T>(*how.log_decays);
        else
            g_channels = to_tensor<T>(*how.log_decays);
    }

    auto update() const { return heed::learn(heed::low_rank(a, b)); }
    auto decay() const {
        auto part = std::make_optional(heed::learn(heed::log_decay(g)));
        if (kind == fading::none) part.reset();
        return part;
    }
    std::optional<heed::unit_rows_part> norm() const {
        if (!unit_rows) return {};
        return heed::unit_rows;
    }
    /// use(decay)
    template <class Use>
    decltype(auto) with_decay(const Use& use) const {
        if (kind == fading::channels) return use(heed::learn(heed::log_decay(g_channels)));
        return use(decay());
    }
};

}  // namespace heed_test
