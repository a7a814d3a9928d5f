#pragma once

#include <cmath>

#include <heed/linear/decays/log_decay.hpp>

#include "linear/decay_problem.hpp"
#include "linear/problem.hpp"

/// \file
/// Inputs of linear attention with decays a channel.

namespace heed_test {

/// Numbers a token and channel, of heads that divide those of o: channels of long memories, of
/// short ones; where `forgets`, some that are cleared or fall further than a chunk may.
inline reference::tensor random_channel_decays(generator& random, const linear_extents& e,
                                               index heads, bool forgets = true) {
    reference::tensor logs(e.batch, heads, e.keys, e.dim);
    for (index channel = 0; channel < e.dim; ++channel) {
        const double most = random.one_of<double>({0.01, 0.3, 5});
        const bool strong = forgets && random.chance(0.5);
        for (index b = 0; b < e.batch; ++b) {
            for (index h = 0; h < heads; ++h) {
                for (index t = 0; t < e.keys; ++t) {
                    double x = -most * random.uniform(0.1, 1.0);
                    if (strong && random.chance(0.04))
                        x = random.one_of<double>({-60, -79.5, -104.5, -1e30, -HUGE_VAL});
                    logs(b, h, t, channel) = static_cast<double>(static_cast<float>(x));
                }
            }
        }
    }
    return logs;
}

// Either kind of decays, for what is said of both.

struct decays_of_tokens {
    static reference::tensor draw(generator& random, const linear_extents& e, index heads) {
        return random_decays(random, e, heads);
    }
    template <class T>
    static tensor3<T> numbers(const reference::tensor& logs) {
        return to_decays<T>(logs);
    }
};
struct decays_of_channels {
    static reference::tensor draw(generator& random, const linear_extents& e, index heads) {
        return random_channel_decays(random, e, heads);
    }
    template <class T>
    static tensor4<T> numbers(const reference::tensor& logs) {
        return to_tensor<T>(logs);
    }
};

}  // namespace heed_test
