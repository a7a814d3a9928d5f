#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/decay_problem.hpp"
#include "linear/problem.hpp"

namespace test_decays {

using namespace heed_test;
using heed::index;

/// Gradients in double, that of the log decays of the tokens too; forward with stats has the bits
/// of forward alone.
template <class... Parts>
void check_learned(generator& random, const linear_problem& from,
                   const reference::linear_options& how, const Parts&... parts) {
    const linear_inputs<double> in(from);
    const auto logs = to_decays<double>(*how.log_decays);
    const auto decay = heed::learn(heed::log_decay(logs));
    const auto [o, stats] =
        heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay, parts...);
    const tensor4<double> plain = heed::linear_attention(in.q, in.k, in.v, heed::causal,
                                                         heed::log_decay(logs), parts...);
    REQUIRE(std::equal(o.data(), o.data() + o.size(), plain.data()));
    const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           heed::causal, decay, parts...);
    const tensor3<double>& d_logs = gradients.template of<0>();
    tensor4<double> as_four(d_logs.dimension(0), d_logs.dimension(1), d_logs.dimension(2), 1);
    std::copy_n(d_logs.data(), d_logs.size(), as_four.data());
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v, &as_four);
}

TEST_CASE("a decay a token is the recurrence, in any extents") {
    generator random(960);
    for (int round = 0; round < 16; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e)
                     << ", heads of the decay " << heads);
        const linear_problem from = decay_problem(random, e, heads);
        const reference::tensor logs = random_decays(random, e, heads);
        const reference::linear_options how = with_decays(from, logs);
        check_forward<double>(from, how, 1e-12, heed::causal,
                              heed::log_decay(to_decays<double>(logs)));
        check_forward<float>(from, how, 1e-6, heed::causal,
                             heed::log_decay(to_decays<float>(logs)));
        check_learned(random, from, how);
    }
}

TEST_CASE("gradients of a long sequence, over the states that backward keeps") {
    generator random(961);
    for (const index keys : {256, 257, 700}) {
        const linear_extents e{1, 1, 1, 2, 600, keys, 3, 2};
        linear_extents square = e;
        square.queries = keys;
        for (const linear_extents& sizes : {e, square}) {
            if (sizes.queries > sizes.keys) continue;
            INFO("seed " << seed() << ", " << to_string(sizes));
            const linear_problem from(random, sizes);
            reference::tensor logs = random_decays(random, sizes, 2, false);
            for (double& x : logs.values) x /= 10;
            check_learned(random, from, with_decays(from, logs));
        }
    }
}

TEST_CASE("float gradients are double's, up to rounding") {
    generator random(962);
    const linear_extents e{1, 2, 1, 2, 600, 600, 5, 3};
    const linear_problem from(random, e);
    const reference::tensor logs = random_decays(random, e, 2);
    const auto gradients_of = [&]<class T>(T) {
        const linear_inputs<T> in(from);
        const auto decay = heed::learn(heed::log_decay(to_decays<T>(logs)));
        const auto [o, stats] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay);
        return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                               decay);
    };
    const auto exact = gradients_of(double());
    const auto rounded = gradients_of(float());
    compare_rounded(rounded.q, exact.q, 1e-6);
    compare_rounded(rounded.k, exact.k, 1e-6);
    compare_rounded(rounded.v, exact.v, 1e-6);
    double most = 0, difference = 0;
    for (index t = 0; t < exact.of<0>().size(); ++t) {
        const double x = exact.of<0>().data()[t];
        most = std::max(most, std::abs(x));
        difference = std::max(difference, std::abs(rounded.of<0>().data()[t] - x));
    }
    CHECK(difference <= 1e-6 * most);
}

}  // namespace test_decays
