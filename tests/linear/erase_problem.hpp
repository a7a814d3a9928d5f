#pragma once

#include <optional>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/erase.hpp>

#include "linear/decay_problem.hpp"
#include "linear/delta_problem.hpp"
#include "linear/problem.hpp"

/// \file
/// Inputs of linear attention that erases by channels, and what it must be.

namespace heed_test {

/// Shares of every channel of every token: in (0, 1) mostly, some tokens all 0 or 1.
inline reference::tensor random_shares(generator& random, const linear_extents& e, index heads,
                                       index channels) {
    reference::tensor shares(e.batch, heads, e.keys, channels);
    for (index b = 0; b < e.batch; ++b) {
        for (index h = 0; h < heads; ++h) {
            for (index t = 0; t < e.keys; ++t) {
                const bool all = random.chance(0.06);
                const double same = random.one_of<double>({0, 1});
                for (index c = 0; c < channels; ++c)
                    shares(b, h, t, c) =
                        all ? same
                            : static_cast<double>(static_cast<float>(random.uniform(0.05, 0.95)));
            }
        }
    }
    return shares;
}

/// Random e and w, and decays if there are, as the reference takes them.
inline reference::linear_options erasing(generator& random, const linear_problem& from, index heads,
                                         const std::optional<reference::tensor>& logs,
                                         bool unit_rows) {
    const reference::tensor erased = random_shares(random, from.sizes, heads, from.sizes.dim);
    reference::linear_options how = with_deltas(from, erased, logs, unit_rows);
    how.deltas.reset();
    how.erased = erased;
    how.written = random_shares(random, from.sizes, heads, from.sizes.value_dim);
    return how;
}

/// Both as a part, beside those.
template <class T>
struct erase_parts : parts_beside_update<T> {
    tensor4<T> erased, written;

    explicit erase_parts(const reference::linear_options& how)
        : parts_beside_update<T>(how),
          erased(to_tensor<T>(*how.erased)),
          written(to_tensor<T>(*how.written)) {}

    auto erase() const { return heed::learn(heed::erase(erased, written)); }
};

}  // namespace heed_test
