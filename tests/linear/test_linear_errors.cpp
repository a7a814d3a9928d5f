#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/denominator.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/cosformer.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/linear/maps/relu.hpp>
#include <heed/linear/state_gradient.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/erase.hpp>
#include <heed/linear/updates/low_rank.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/problem.hpp"
#include "support/refused.hpp"

namespace test_linear_errors {

using namespace heed_test;
using heed::index;

tensor4<float> filled(index batch, index heads, index rows, index columns) {
    tensor4<float> x(batch, heads, rows, columns);
    x.setConstant(0.5F);
    return x;
}

/// Forward into o, which must stay as it is.
template <class Error, class... Parts>
void refuses(const std::string& message, const tensor4<float>& q, const tensor4<float>& k,
             const tensor4<float>& v, const Parts&... parts) {
    tensor4<float> o = filled(q.dimension(0), q.dimension(1), q.dimension(2), v.dimension(3));
    check_refused<Error>(message, [&] { heed::linear_attention_into(o, q, k, v, parts...); });
    for (index e = 0; e < o.size(); ++e) REQUIRE(o.data()[e] == 0.5F);
}

TEST_CASE("shapes that do not fit") {
    const auto q = filled(2, 4, 6, 4), k = filled(2, 2, 6, 4), v = filled(2, 2, 6, 5);
    const auto& map = heed::elu_plus_one;
    using heed::shape_error;
    refuses<shape_error>(
        "q has shape [2, 4, 6, 4] and k has shape [2, 2, 6, 3], but their last axes must be the "
        "same",
        q, filled(2, 2, 6, 3), v, map);
    refuses<shape_error>(
        "k has shape [2, 2, 6, 4] and v has shape [2, 2, 7, 5], but they must have the same "
        "sequence",
        q, k, filled(2, 2, 7, 5), map);
    refuses<shape_error>(
        "q, k and v have shapes [2, 4, 6, 4], [1, 2, 6, 4] and [2, 2, 6, 5], but their batches "
        "must be the same",
        q, filled(1, 2, 6, 4), v, map);
    refuses<shape_error>(
        "q, k and v have 4, 3 and 2 heads, but the most of them must be a multiple of each", q,
        filled(2, 3, 6, 4), v, map);
    refuses<shape_error>("v has shape [2, 2, 6, 0], but its last axis must not be empty", q, k,
                         filled(2, 2, 6, 0), map);
    tensor4<float> o = filled(2, 4, 6, 4);
    check_refused<shape_error>("o has shape [2, 4, 6, 4], but must have [2, 4, 6, 5]",
                               [&] { heed::linear_attention_into(o, q, k, v, map); });
}

TEST_CASE("parts that do not fit") {
    const auto q = filled(1, 2, 6, 4), k = filled(1, 2, 6, 4), v = filled(1, 2, 6, 5);
    using heed::argument_error;
    using heed::shape_error;
    refuses<shape_error>("heed::favor: the features are of 5 dimensions, but q and k have 4", q, k,
                         v, heed::favor(heed::random_features({.dim = 5, .count = 3})));
    refuses<argument_error>("heed::favor: epsilon is -1, but must be finite and not negative", q, k,
                            v, heed::favor(heed::random_features({.dim = 4, .count = 3})).relu(-1));
    const auto rotary = heed::rotary(heed::rope::plain({.dim = 4}));
    refuses<argument_error>("a rotary encoding turns pairs of features, but heed::favor makes 3", q,
                            k, v, rotary,
                            heed::favor(heed::random_features({.dim = 4, .count = 3})));
    refuses<shape_error>("the frequencies rotate 6 dimensions, but q and k have 4", q, k, v,
                         heed::elu_plus_one, heed::rotary(heed::rope::plain({.dim = 6})));
    refuses<argument_error>("heed::cosformer: the span is 5, but a sequence spreads over 6 tokens",
                            q, k, v, heed::cosformer(5));
    refuses<argument_error>("heed::cosformer: the span is 0, but must be at least 1", q, k, v,
                            heed::cosformer(0));
    refuses<argument_error>(
        "heed::normalised.at_least: the least denominator is -1, but must be finite and not "
        "negative",
        q, k, v, heed::relu, heed::normalised.at_least(-1));
    refuses<argument_error>("heed::scale: the factor is inf, but must be finite", q, k, v,
                            heed::scale(std::numeric_limits<double>::infinity()));
    refuses<argument_error>(
        "heed::key_lengths: the length of sequence 0 is 7, but must lie between 0 and the number "
        "of keys, 6",
        q, k, v, heed::elu_plus_one, heed::key_lengths({7}));
    refuses<shape_error>(
        "q has shape [1, 2, 6, 4] and k has shape [1, 2, 7, 4], but with heed::causal and "
        "heed::key_lengths they must have the same sequence",
        q, filled(1, 2, 7, 4), filled(1, 2, 7, 5), heed::elu_plus_one, heed::causal,
        heed::key_lengths({7}));
    refuses<shape_error>(
        "heed::cumulative_lengths: queries 0 to 4 see keys 0 to 2, but in causal linear attention "
        "a document has as many of both",
        q, k, v, heed::elu_plus_one, heed::causal,
        heed::cumulative_lengths(std::vector<int>{0, 4, 6}, std::vector<int>{0, 2, 6}));
    check_refused<argument_error>(
        "heed::random_features: the count is 0, but must be at least 1 and at most 2^24",
        [] { heed::random_features({.dim = 4, .count = 0}); });
    check_refused<argument_error>(
        "heed::random_features: the dimension is -3, but must be at least 1 and at most 2^24",
        [] { heed::random_features({.dim = -3, .count = 2}); });
    check_refused<shape_error>("the directions have shape [0, 4], but must not be empty",
                               [] { heed::random_features::from(Eigen::MatrixXf(0, 4)); });
    check_refused<argument_error>("the directions hold inf, but must be finite", [] {
        Eigen::MatrixXf given = Eigen::MatrixXf::Ones(3, 4);
        given(2, 1) = std::numeric_limits<float>::infinity();
        heed::random_features::from(given);
    });
}

TEST_CASE("states that do not fit") {
    const auto q = filled(1, 2, 6, 4), k = filled(1, 2, 6, 4), v = filled(1, 2, 6, 5);
    using heed::argument_error;
    using heed::shape_error;
    heed::linear_state<float> state;
    const auto run = [&](const auto&... parts) {
        return heed::linear_attention(q, k, v, heed::causal, parts..., heed::carry(state));
    };
    REQUIRE(run(heed::elu_plus_one).size() > 0);
    refuses<shape_error>(
        "the state has shape [1, 2, 5, 4] (batch, heads, d_v, features), but this call's must have "
        "[1, 2, 3, 4]",
        q, k, filled(1, 2, 6, 3), heed::causal, heed::elu_plus_one, heed::carry(state));
    refuses<argument_error>(
        "the state is of calls with heed::elu_plus_one, but this one has heed::relu", q, k, v,
        heed::causal, heed::relu, heed::carry(state));
    refuses<argument_error>(
        "the state is of calls with heed::elu_plus_one, but this one has heed::elu_plus_one and a "
        "rotary encoding",
        q, k, v, heed::causal, heed::elu_plus_one, heed::carry(state),
        heed::rotary(heed::rope::plain({.dim = 4})));
    refuses<argument_error>(
        "the state is of calls that divide by a denominator, but this call does not", q, k, v,
        heed::causal, heed::elu_plus_one, heed::unnormalised, heed::carry(state));
    refuses<shape_error>(
        "q has shape [1, 2, 5, 4] and k has shape [1, 2, 6, 4], but with a state they must have "
        "the "
        "same sequence",
        filled(1, 2, 5, 4), k, v, heed::causal, heed::elu_plus_one, heed::carry(state));
    std::optional<heed::causal_mask> none;
    refuses<argument_error>(
        "heed::carry: a state is what a causal call has seen, but this call's heed::causal was not "
        "chosen",
        q, k, v, none, heed::elu_plus_one, heed::carry(state));
    CHECK(state.length() == 6);
    check_refused<argument_error>(
        "heed::linear_state: rewind by 7, but only the last 6 tokens can be taken back",
        [&] { state.rewind(7); });
    check_refused<argument_error>("heed::linear_state: rewind by -1, but it must not be negative",
                                  [&] { state.rewind(-1); });
    check_refused<argument_error>("heed::linear_state: head 2, but there are 2",
                                  [&] { state.matrix(0, 2); });
    heed::linear_state<float> spread;
    const auto far =
        heed::linear_attention(q, k, v, heed::causal, heed::cosformer(11), heed::carry(spread));
    REQUIRE(far.size() > 0);
    refuses<argument_error>(
        "heed::cosformer: the span is 11, but a sequence spreads over 12 tokens", q, k, v,
        heed::causal, heed::cosformer(11), heed::carry(spread));
    check_refused<shape_error>("the denominators have shape [1, 2, 3], but must have [1, 2, 4]",
                               [] {
                                   Eigen::Tensor<float, 3, Eigen::RowMajor> z(1, 2, 3);
                                   heed::linear_state<float>::from(filled(1, 2, 5, 4), z);
                               });
}

TEST_CASE("gradients of states that do not fit") {
    const auto q = filled(1, 2, 6, 4), v = filled(1, 2, 6, 5);
    const auto& map = heed::elu_plus_one;
    heed::linear_state<float> state;
    const heed::linear_state<float> empty;
    const auto [o, stats] =
        heed::linear_attention_forward(q, q, v, heed::causal, map, heed::carry(state));
    auto before = empty;
    auto gradients = heed::linear_attention_backward(o, o, stats, q, q, v, heed::causal, map,
                                                     heed::carry(before));
    gradients.q.setConstant(0.5F);
    heed::linear_state_gradient<float> last = gradients.state;
    const auto refuses_back = [&, &o = o, &stats = stats](const std::string& message, auto& of,
                                                          auto error) {
        check_refused<decltype(error)>(message, [&] {
            heed::linear_attention_backward_into(gradients, o, o, stats, q, q, v, heed::causal, map,
                                                 heed::carry(of), heed::state_gradient(last));
        });
        for (index e = 0; e < q.size(); ++e) REQUIRE(gradients.q.data()[e] == 0.5F);
    };
    const heed::shape_error shape("");
    refuses_back(
        "the stats are of a call that began behind 0 tokens of sequence 0, but this one begins "
        "behind 6: backward takes the state that forward went on from",
        state, heed::argument_error(""));
    last.denominators.resize(1, 2, 3);
    refuses_back("heed::state_gradient: that of Z has shape [1, 2, 3], but must have [1, 2, 4]",
                 before, shape);
    last.matrices.resize(1, 2, 4, 5);
    refuses_back(
        "heed::state_gradient: that of S has shape [1, 2, 4, 5], but must have [1, 2, 5, 4] "
        "(batch, heads of the state, d_v, features)",
        before, shape);
    last = gradients.state;
    gradients.state.matrices.resize(1, 1, 5, 4);
    refuses_back(
        "the gradient of the state: that of S has shape [1, 1, 5, 4], but must have [1, 2, 5, 4] "
        "(batch, heads of the state, d_v, features)",
        before, shape);
    check_refused<heed::shape_error>(
        "heed::state_gradient: q has 6 rows and k 7, but in a call that leaves a state they have "
        "the same sequence",
        [&, &o = o, &stats = stats] {
            heed::linear_attention_backward_into(heed::into(gradients.q, gradients.k, gradients.v),
                                                 o, o, stats, q, filled(1, 2, 7, 4),
                                                 filled(1, 2, 7, 5), heed::causal, map,
                                                 heed::state_gradient(last));
        });
}

TEST_CASE("decays that do not fit") {
    const auto q = filled(2, 4, 6, 4), k = filled(2, 2, 6, 4), v = filled(2, 2, 6, 5);
    using heed::argument_error;
    using heed::shape_error;
    const auto decays = [](index batch, index heads, index rows, float number) {
        Eigen::Tensor<float, 3, Eigen::RowMajor> g(batch, heads, rows);
        g.setConstant(number);
        return g;
    };
    const auto fails = [&]<class Error>(Error, const std::string& message, const auto& decay) {
        refuses<Error>(message, q, k, v, heed::causal, decay);
    };
    const argument_error argument("");
    const shape_error shape("");
    fails(argument, "heed::decay: the number of head 0 is 0, but must be above 0 and at most 1",
          heed::decay(0));
    fails(argument, "heed::decay: the number of head 1 is 1.5, but must be above 0 and at most 1",
          heed::decay(std::vector<float>{1, 1.5F}));
    fails(argument, "heed::log_decay: the number of head 1 is 0.25, but must be at most 0",
          heed::log_decay(std::vector<float>{0, 0.25F}));
    auto rising = decays(2, 4, 6, -1);
    rising(1, 2, 3) = 0.5F;
    fails(argument,
          "heed::log_decay: the number of sequence 1, head 2, token 3 is 0.5, but must be at most "
          "0",
          heed::log_decay(rising));
    fails(shape, "heed::log_decay has shape [2, 4, 5], but q, k and v have 2 sequences and 6 keys",
          heed::log_decay(decays(2, 4, 5, -1)));
    fails(shape, "heed::log_decay has shape [1, 4, 6], but q, k and v have 2 sequences and 6 keys",
          heed::log_decay(decays(1, 4, 6, -1)));
    fails(shape,
          "q, k, v and the decay have 4, 2, 2 and 3 heads, but the most of them must be a multiple "
          "of each",
          heed::log_decay(decays(2, 3, 6, -1)));
    fails(shape,
          "q, k, v and the decay have 4, 2, 2 and 0 heads, but the most of them must be a multiple "
          "of each",
          heed::log_decay(decays(2, 0, 6, -1)));
    tensor4<float> channels(2, 2, 6, 4);
    channels.setConstant(-1);
    channels(1, 0, 5, 3) = 0.25F;
    fails(argument,
          "heed::log_decay: the number of sequence 1, head 0, token 5, channel 3 is 0.25, but must "
          "be at most 0",
          heed::log_decay(channels));
    fails(shape,
          "heed::log_decay has shape [2, 2, 6, 5], but q, k and v have 2 sequences, 6 keys and 4 "
          "channels",
          heed::log_decay(filled(2, 2, 6, 5)));
    channels(1, 0, 5, 3) = -1;
    heed::linear_state<float> of_tokens;
    heed::linear_attention(q, k, v, heed::causal, heed::log_decay(decays(2, 2, 6, -1)),
                           heed::carry(of_tokens));
    refuses<argument_error>(
        "the state is of calls with decays a token, but this one has them a channel", q, k, v,
        heed::causal, heed::log_decay(channels), heed::carry(of_tokens));
    std::optional<heed::causal_mask> none;
    refuses<argument_error>(
        "a decay goes along a causal sequence, but this call's heed::causal was not chosen", q, k,
        v, none, heed::decay(0.5));
    heed::linear_state<float> state;
    heed::linear_attention(q, k, v, heed::causal, heed::decay(0.5), heed::carry(state));
    refuses<argument_error>("the state is of calls with decays, but this one has none", q, k, v,
                            heed::causal, heed::carry(state));
    refuses<shape_error>(
        "the state has shape [2, 2, 5, 4] (batch, heads, d_v, features), but this call's must have "
        "[2, 4, 5, 4]",
        q, k, v, heed::causal, heed::log_decay(decays(2, 4, 6, -1)), heed::carry(state));
    // Of the gradient.
    const auto g = decays(2, 4, 6, -1);
    const auto learned = heed::learn(heed::log_decay(g));
    const auto forward = heed::linear_attention_forward(q, k, v, heed::causal, learned);
    auto dq = filled(2, 4, 6, 4), dk = filled(2, 2, 6, 4), dv = filled(2, 2, 6, 5);
    auto dg = decays(2, 4, 5, 0.5F);
    const auto back = [&](auto& to) {
        heed::linear_attention_backward_into(heed::into(dq, dk, dv, to), forward.output,
                                             forward.output, forward.stats, q, k, v, heed::causal,
                                             learned);
    };
    check_refused<shape_error>(
        "the gradient of heed::log_decay has shape [2, 4, 5] and heed::log_decay has shape [2, 4, "
        "6], but the two must be the same",
        [&] { back(dg); });
    auto same = heed::view(dq.data(), {2, 4, 6});
    check_refused<argument_error>(
        "the gradient of a learned part (shape [2, 4, 6]) overlaps dq (shape [2, 4, 6, 4]) in "
        "memory, but outputs must lie apart from one another",
        [&] { back(same); });
    CHECK(dq.data()[0] == 0.5F);
}

TEST_CASE("a bonus that does not fit") {
    const auto q = filled(2, 4, 6, 4), k = filled(2, 2, 6, 4), v = filled(2, 2, 6, 5);
    refuses<heed::shape_error>("heed::bonus has shape [4, 3], but q and k have 4 channels", q, k, v,
                               heed::causal, heed::bonus(Eigen::MatrixXf(4, 3)));
    refuses<heed::shape_error>(
        "q, k, v and heed::bonus have 4, 2, 2 and 3 heads, but the most of them must be a multiple "
        "of each",
        q, k, v, heed::causal, heed::bonus(Eigen::MatrixXf(3, 4)));
    std::optional<heed::causal_mask> none;
    refuses<heed::argument_error>(
        "heed::bonus is that of the present token of a causal sequence, but this call's "
        "heed::causal was not chosen",
        q, k, v, none, heed::bonus(Eigen::MatrixXf(4, 4)));
}

TEST_CASE("what does not fit the delta rule") {
    const auto q = filled(2, 4, 6, 4), k = filled(2, 2, 6, 4), v = filled(2, 2, 6, 5);
    using heed::argument_error;
    using heed::shape_error;
    const auto numbers = [](index batch, index heads, index rows) {
        Eigen::Tensor<float, 3, Eigen::RowMajor> beta(batch, heads, rows);
        beta.setConstant(0.5F);
        return beta;
    };
    refuses<shape_error>(
        "heed::delta has shape [2, 4, 5], but q, k and v have 2 sequences and 6 keys", q, k, v,
        heed::causal, heed::delta(numbers(2, 4, 5)));
    refuses<shape_error>(
        "q, k, v and the update have 4, 2, 2 and 3 heads, but the most of them must be a multiple "
        "of each",
        q, k, v, heed::causal, heed::delta(numbers(2, 3, 6)));
    std::optional<heed::causal_mask> none;
    refuses<argument_error>(
        "an update goes along a causal sequence, but this call's heed::causal was not chosen", q, k,
        v, none, heed::delta(0.5));
    const auto beta = numbers(2, 4, 6);
    heed::linear_state<float> state;
    heed::linear_attention(q, k, v, heed::causal, heed::delta(beta), heed::carry(state));
    CHECK(state.heads() == 4);
    refuses<argument_error>("the state is of calls with an update, but this one has none", q,
                            filled(2, 4, 6, 4), v, heed::causal, heed::carry(state));
    refuses<argument_error>(
        "the state is of calls with no feature map, but this one has heed::unit_rows", q, k, v,
        heed::causal, heed::delta(beta), heed::unit_rows, heed::carry(state));
    const auto learned = heed::learn(heed::delta(beta));
    const auto forward = heed::linear_attention_forward(q, k, v, heed::causal, learned);
    auto dq = filled(2, 4, 6, 4), dk = filled(2, 2, 6, 4), dv = filled(2, 2, 6, 5);
    auto d_beta = numbers(2, 4, 5);
    check_refused<shape_error>(
        "the gradient of heed::delta has shape [2, 4, 5] and heed::delta has shape [2, 4, 6], but "
        "the two must be the same",
        [&] {
            heed::linear_attention_backward_into(heed::into(dq, dk, dv, d_beta), forward.output,
                                                 forward.output, forward.stats, q, k, v,
                                                 heed::causal, learned);
        });
    CHECK(dq.data()[0] == 0.5F);
}

TEST_CASE("what does not fit erasing by channels") {
    using heed::shape_error;
    const auto q = filled(2, 4, 6, 4), k = filled(2, 2, 6, 4), v = filled(2, 2, 6, 5);
    refuses<shape_error>(
        "heed::erase: e has shape [2, 2, 6, 5], but must have [2, 2, 6, 4] (batch, its heads, "
        "keys, channels)",
        q, k, v, heed::causal, heed::erase(filled(2, 2, 6, 5), filled(2, 2, 6, 5)));
    refuses<shape_error>(
        "heed::erase: w has shape [2, 1, 6, 5], but must have [2, 2, 6, 5] (batch, its heads, "
        "keys, channels)",
        q, k, v, heed::causal, heed::erase(filled(2, 2, 6, 4), filled(2, 1, 6, 5)));
    refuses<shape_error>(
        "q, k, v and the update have 4, 2, 2 and 3 heads, but the most of them must be a multiple "
        "of each",
        q, k, v, heed::causal, heed::erase(filled(2, 3, 6, 4), filled(2, 3, 6, 5)));
}

TEST_CASE("rows of an update of low rank that do not fit") {
    using heed::shape_error;
    const auto q = filled(2, 4, 6, 4), k = filled(2, 2, 6, 4), v = filled(2, 2, 6, 5);
    refuses<shape_error>(
        "heed::low_rank: a has shape [2, 2, 6, 5], but must have [2, 2, 6, 4] (batch, its heads, "
        "keys, channels)",
        q, k, v, heed::causal, heed::low_rank(filled(2, 2, 6, 5), filled(2, 2, 6, 4)));
    refuses<shape_error>(
        "heed::low_rank: b has shape [2, 1, 6, 4], but must have [2, 2, 6, 4] (batch, its heads, "
        "keys, channels)",
        q, k, v, heed::causal, heed::low_rank(filled(2, 2, 6, 4), filled(2, 1, 6, 4)));
}

TEST_CASE("memory that overlaps, and stats of another call") {
    auto q = filled(1, 1, 6, 4), k = filled(1, 1, 6, 4), v = filled(1, 1, 6, 4);
    using heed::argument_error;
    using heed::shape_error;
    check_refused<argument_error>(
        "o (shape [1, 1, 6, 4]) overlaps v (shape [1, 1, 6, 4]) in memory, but outputs must lie "
        "apart from inputs",
        [&] { heed::linear_attention_into(v, q, k, v, heed::relu); });
    const auto d_o = filled(1, 1, 6, 4);
    auto dq = filled(1, 1, 6, 4), dk = filled(1, 1, 6, 4);
    heed::linear_stats<float> stats;
    CHECK(stats.extents() == std::array<index, 3>{0, 0, 0});
    const auto back = [&](auto&& gradients) {
        heed::linear_attention_backward_into(gradients, d_o, d_o, stats, q, k, v, heed::relu);
    };
    auto dv = filled(1, 1, 6, 4);
    check_refused<argument_error>(
        "the stats are those of no call: linear_attention_forward makes them",
        [&] { back(heed::into(dq, dk, dv)); });
    auto o = filled(1, 1, 6, 4);
    heed::linear_attention_forward_into(o, stats, q, k, v, heed::relu);
    check_refused<argument_error>(
        "dk (shape [1, 1, 6, 4]) overlaps dv (shape [1, 1, 6, 4]) in memory, but outputs must lie "
        "apart from one another",
        [&] { back(heed::into(dq, dk, dk)); });
    check_refused<argument_error>(
        "dq (shape [1, 1, 6, 4]) overlaps q (shape [1, 1, 6, 4]) in memory, but outputs must lie "
        "apart from inputs",
        [&] { back(heed::into(q, dk, dv)); });
    const auto longer = filled(1, 1, 8, 4);
    check_refused<shape_error>("the stats are of a call with other shapes of q, k or v", [&] {
        heed::linear_attention_backward(d_o, o, stats, q, longer, longer, heed::relu);
    });
    CHECK(dq.data()[0] == 0.5F);
    back(heed::into(dq, dk, dv));
    CHECK(dq.data()[0] != 0.5F);
}

}  // namespace test_linear_errors
