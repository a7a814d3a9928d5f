#include <algorithm>
#include <cstddef>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/log_decay.hpp>

#include "linear/channel_problem.hpp"
#include "linear/problem.hpp"
#include "linear/sequence_checks.hpp"
#include "linear/sequences.hpp"

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

/// o in double and in float, and all gradients in double.
template <class Decays, class... Parts>
void check_all(generator& random, const linear_problem& from, const reference::linear_options& how,
               const Parts&... parts) {
    check_forward<float>(from, how, 2e-6, heed::causal,
                         heed::log_decay(Decays::template numbers<float>(*how.log_decays)),
                         heed::bonus(to_matrix<float>(*how.bonus)), parts...);
    const linear_inputs<double> in(from);
    const auto decay =
        heed::learn(heed::log_decay(Decays::template numbers<double>(*how.log_decays)));
    const auto bonus = heed::learn(heed::bonus(to_matrix<double>(*how.bonus)));
    const auto [o, stats] =
        heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay, bonus, parts...);
    compare_outputs(from, how, 1e-12, o);
    const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           heed::causal, decay, bonus, parts...);
    const auto d_logs = as_four(gradients.template of<0>());
    const auto d_bonus = as_four(gradients.template of<1>());
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v, &d_logs, nullptr,
                      nullptr, nullptr, &d_bonus);
}

TEST_CASE("with a bonus each token reads the state before its own, in any extents") {
    generator random(1990);
    for (int round = 0; round < 12; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e)
                     << ", heads of the decay " << heads);
        const linear_problem from = decay_problem(random, e, heads);
        const index most = from.d_o.heads();
        check_all<decays_of_channels>(
            random, from,
            with_bonus(random, from, random_channel_decays(random, e, heads),
                       random.chance(0.5) ? 1 : most));
    }
}

TEST_CASE("a bonus beside decays a token, and over the states that backward keeps") {
    generator random(1991);
    for (const index keys : {70, 256, 257, 550}) {
        const linear_extents e{1, 1, 1, 2, keys == 257 ? 150 : keys, keys, 3, 2};
        INFO("seed " << seed() << ", " << to_string(e));
        const linear_problem from(random, e);
        reference::tensor logs = random_decays(random, e, 2, keys == 70);
        check_all<decays_of_tokens>(random, from, with_bonus(random, from, logs, 2));
        check_all<decays_of_channels>(
            random, from,
            with_bonus(random, from, random_channel_decays(random, e, 2, keys == 550), 1));
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
    check_all<decays_of_channels>(random, from, how, heed::cumulative_lengths(offsets));
    const std::vector<index> lengths{random.integer(0, 75), random.integer(0, 75)};
    how.visible = reference::both(causal, reference::key_lengths(lengths));
    check_all<decays_of_channels>(random, from, how, heed::key_lengths(lengths));
    how.visible = causal;
    how.log_decays.reset();
    check_forward<double>(from, how, 1e-12, heed::causal,
                          heed::bonus(to_matrix<double>(*how.bonus)));
}

TEST_CASE("with a bonus too a sequence in pieces has the bits of one call") {
    generator random(1993);
    check_pieces<read_before<float>, float>(random);
}

TEST_CASE("gradients beside a bonus have the same bits for any threads") {
    generator random(1994);
    check_threads(read_before<float>(random, 101), 3);
}

TEST_CASE("what is taken back beside a bonus has never been") {
    generator random(1995);
    check_rewinding(random, read_before<float>(random, 110));
}

}  // namespace test_bonus
