#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/channel_problem.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"

namespace test_bonus {

using namespace heed_test;
using heed::index;

template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// u [heads, dim] as heed takes it.
template <class T>
matrix<T> to_matrix(const reference::tensor& u) {
    matrix<T> to(u.heads(), u.columns());
    std::transform(u.values.begin(), u.values.end(), to.data(),
                   [](double x) { return static_cast<T>(x); });
    return to;
}

reference::linear_options with_bonus(generator& random, const linear_problem& from,
                                     const reference::tensor& logs, index heads) {
    reference::linear_options how = with_decays(from, logs);
    how.bonus = random_numbers(random, 1, heads, 1, from.sizes.dim);
    how.scale.assign(static_cast<std::size_t>(from.d_o.heads()), how.scale.front());
    return how;
}

/// o in double and in float, and all gradients in double; Decay makes the part of log decays.
template <class Decay, class... Parts>
void check_all(generator& random, const linear_problem& from, const reference::linear_options& how,
               const Decay& decay_of, const Parts&... parts) {
    check_forward<float>(from, how, 2e-6, heed::causal,
                         heed::log_decay(decay_of(float(), *how.log_decays)),
                         heed::bonus(to_matrix<float>(*how.bonus)), parts...);
    const linear_inputs<double> in(from);
    const auto decay = heed::learn(heed::log_decay(decay_of(double(), *how.log_decays)));
    const auto bonus = heed::learn(heed::bonus(to_matrix<double>(*how.bonus)));
    const auto [o, stats] =
        heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay, bonus, parts...);
    compare_outputs(from, how, 1e-12, o);
    const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           heed::causal, decay, bonus, parts...);
    const auto as_four = [](const auto& x) {
        tensor4<double> to(x.size(), 1, 1, 1);
        std::copy_n(x.data(), x.size(), to.data());
        return to;
    };
    const auto d_logs = as_four(gradients.template of<0>());
    const auto d_bonus = as_four(gradients.template of<1>());
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v, &d_logs, nullptr,
                      nullptr, nullptr, &d_bonus);
}
const auto of_channels = []<class T>(T, const reference::tensor& logs) {
    return to_tensor<T>(logs);
};
const auto of_tokens = []<class T>(T, const reference::tensor& logs) { return to_decays<T>(logs); };

TEST_CASE("with a bonus each token reads the state before its own, in any extents") {
    generator random(1990);
    for (int round = 0; round < 12; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e)
                     << ", heads of the decay " << heads);
        const linear_problem from = decay_problem(random, e, heads);
        const index most = from.d_o.heads();
        check_all(random, from,
                  with_bonus(random, from, random_channel_decays(random, e, heads),
                             random.chance(0.5) ? 1 : most),
                  of_channels);
    }
}

TEST_CASE("a bonus beside decays a token, and over the states that backward keeps") {
    generator random(1991);
    for (const index keys : {70, 256, 257, 550}) {
        const linear_extents e{1, 1, 1, 2, keys == 257 ? 150 : keys, keys, 3, 2};
        INFO("seed " << seed() << ", " << to_string(e));
        const linear_problem from(random, e);
        reference::tensor logs = random_decays(random, e, 2, keys == 70);
        check_all(random, from, with_bonus(random, from, logs, 2), of_tokens);
        check_all(random, from,
                  with_bonus(random, from, random_channel_decays(random, e, 2, keys == 550), 1),
                  of_channels);
    }
}

TEST_CASE("a bonus beside documents and padding, and without a decay") {
    generator random(1992);
    const linear_extents e{2, 2, 1, 2, 75, 75, 4, 3};
    INFO("seed " << seed());
    const linear_problem from(random, e);
    reference::linear_options how =
        with_bonus(random, from, random_channel_decays(random, e, 2), 2);
    const auto causal = how.visible;
    const std::vector<index> offsets{0, random.integer(1, 40), 75};
    how.visible = reference::both(causal, reference::documents(offsets));
    check_all(random, from, how, of_channels, heed::cumulative_lengths(offsets));
    const std::vector<index> lengths{random.integer(0, 75), random.integer(0, 75)};
    how.visible = reference::both(causal, reference::key_lengths(lengths));
    check_all(random, from, how, of_channels, heed::key_lengths(lengths));
    how.visible = causal;
    how.log_decays.reset();
    check_forward<double>(from, how, 1e-12, heed::causal,
                          heed::bonus(to_matrix<double>(*how.bonus)));
}

/// Inputs, u, and decays of which some are cleared.
template <class T>
struct read_before {
    linear_problem from;
    linear_inputs<T> in;
    tensor4<T> g;
    matrix<T> u;

    read_before(generator& random, index length)
        : from(random, {2, 4, 2, 2, length, length, 5, 7}),
          in(from),
          g(to_tensor<T>(random_channel_decays(random, from.sizes, 2))),
          u(to_matrix<T>(random_numbers(random, 1, 4, 1, 5))) {}

    template <class... Parts>
    tensor4<T> whole(const Parts&... parts) const {
        return heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::log_decay(g),
                                      heed::bonus(u), parts...);
    }
};

template <class T>
void go_on(const read_before<T>& all, heed::linear_state<T>& state, tensor4<T>& o, index first,
           index count) {
    heed::linear_attention_into(tokens(o, first, count), tokens(all.in.q, first, count),
                                tokens(all.in.k, first, count), tokens(all.in.v, first, count),
                                heed::causal, heed::log_decay(tokens(all.g, first, count)),
                                heed::bonus(all.u), heed::carry(state));
}

TEST_CASE("with a bonus too a sequence in pieces has the bits of one call") {
    generator random(1993);
    check_pieces<read_before<float>, float>(random);
}

TEST_CASE("gradients beside a bonus have the same bits for any threads") {
    generator random(1994);
    Eigen::ThreadPool pool(3);
    const read_before<float> all(random, 101);
    const auto& in = all.in;
    CHECK(same_bits(all.whole(), all.whole(always_on(pool))));
    const auto decay = heed::learn(heed::log_decay(all.g));
    const auto bonus = heed::learn(heed::bonus(all.u));
    const auto [o, stats] =
        heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay, bonus);
    const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           heed::causal, decay, bonus);
    const auto threaded = heed::linear_attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::causal, decay, bonus, always_on(pool));
    CHECK(same_bits(gradients.q, threaded.q));
    CHECK(same_bits(gradients.k, threaded.k));
    CHECK(same_bits(gradients.v, threaded.v));
    CHECK(same_bits(gradients.of<0>(), threaded.of<0>()));
    CHECK(same_bits(gradients.of<1>(), threaded.of<1>()));
}

}  // namespace test_bonus
