#include <array>
#include <optional>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/cache_lengths.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_attention_choices {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Both sets of parts give the same bits, forward and backward.
template <class Chosen, class Plain>
void check_same(const inputs<float>& in, const Chosen& chosen, const Plain& plain) {
    const auto run = [&](const auto&... parts) {
        const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
        auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
        return std::tuple(o, gradient.q, gradient.k, gradient.v);
    };
    const auto a = std::apply(run, chosen), b = std::apply(run, plain);
    CHECK(same_bits(std::get<0>(a), std::get<0>(b)));
    CHECK(same_bits(std::get<1>(a), std::get<1>(b)));
    CHECK(same_bits(std::get<2>(a), std::get<2>(b)));
    CHECK(same_bits(std::get<3>(a), std::get<3>(b)));
}

TEST_CASE("an optional part is there or not") {
    generator random(131);
    const inputs<float> in(random, {2, 2, 1, 13, 29, 8, 8});
    std::optional<heed::causal_mask> mask;
    check_same(in, std::tuple(mask), std::tuple());
    mask = heed::causal;
    check_same(in, std::tuple(mask), std::tuple(heed::causal));
    // Optional parts of one role beside one another.
    std::optional<heed::sliding_window_mask> window = heed::sliding_window(5, 2);
    check_same(in, std::tuple(window, mask), std::tuple(heed::causal, heed::sliding_window(5, 2)));
}

TEST_CASE("a variant is the part that it holds, among others that are fixed") {
    generator random(132);
    const inputs<float> in(random, {2, 2, 1, 13, 29, 8, 8});
    using scales = std::variant<heed::standard_scale_part, heed::log_n_scale_part>;
    const auto cap = heed::soft_cap(3);
    check_same(in, std::tuple(heed::causal, scales(heed::standard_scale), cap),
               std::tuple(heed::causal, cap));
    check_same(in, std::tuple(heed::causal, scales(heed::log_n_scale(20)), cap),
               std::tuple(heed::causal, heed::log_n_scale(20), cap));
}

TEST_CASE("the order of modifiers holds with choices among them") {
    generator random(133);
    const inputs<float> in(random, {1, 2, 1, 13, 29, 8, 8});
    const std::vector<float> slopes(2, 0.5F);
    const auto alibi = heed::alibi(slopes);
    std::optional<heed::soft_cap_modifier> cap = heed::soft_cap(1.5);
    check_same(in, std::tuple(alibi, cap), std::tuple(alibi, heed::soft_cap(1.5)));
    const auto first = heed::attention(in.q, in.k, in.v, alibi, cap);
    const auto last = heed::attention(in.q, in.k, in.v, cap, alibi);
    CHECK(same_bits(last, heed::attention(in.q, in.k, in.v, heed::soft_cap(1.5), alibi)));
    CHECK_FALSE(same_bits(first, last));
}

TEST_CASE("a normaliser may be chosen; stats are those of the one that was") {
    generator random(134);
    const inputs<float> in(random, {1, 2, 1, 13, 29, 8, 8});
    using normalisers = std::variant<heed::softmax_normaliser, heed::softmax_plus_one_normaliser>;
    check_same(in, std::tuple(normalisers(heed::softmax)), std::tuple());
    check_same(in, std::tuple(normalisers(heed::softmax_plus_one)),
               std::tuple(heed::softmax_plus_one));
    // Of one type they are that type's.
    std::optional<heed::softmax_normaliser> warm = heed::softmax.temperature(2);
    check_same(in, std::tuple(warm), std::tuple(heed::softmax.temperature(2)));
    static_assert(std::is_same_v<heed::stats_for<float, std::optional<heed::softmax_normaliser>>,
                                 heed::stats_for<float>>);
    // Where there may be none, softmax is among them.
    using maybe = std::optional<heed::softmax_plus_one_normaliser>;
    static_assert(
        std::is_same_v<heed::stats_for<float, maybe>, heed::stats_for<float, normalisers>>);
    check_same(in, std::tuple(maybe()), std::tuple());

    const normalisers plus_one(heed::softmax_plus_one);
    const auto [plain_o, plain] = heed::attention_forward(in.q, in.k, in.v, heed::softmax_plus_one);
    heed::stats_for<float, normalisers> stats;
    tensor4<float> o(plain_o.dimensions());
    CHECK(stats.extents() == std::array<index, 3>{});
    CHECK_THROWS_AS(heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, plus_one),
                    heed::argument_error);
    heed::attention_forward_into(o, stats, in.q, in.k, in.v, plus_one);
    CHECK(stats.extents() == plain.extents());
    CHECK(stats.holds<heed::softmax_plus_one_normaliser>());
    CHECK(same_bits(stats.log_sum_exp(), plain.log_sum_exp()));
    CHECK(stats.log_sum_exp(0, 1, 3) == plain.log_sum_exp(0, 1, 3));
    CHECK(stats.of<heed::softmax_plus_one_normaliser>().row(0, 1, 3).sum == plain.row(0, 1, 3).sum);
    CHECK_THROWS_AS(stats.of<heed::softmax_normaliser>(), heed::argument_error);
    // Backward with another normaliser than forward's.
    CHECK_THROWS_AS(
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, normalisers(heed::softmax)),
        heed::argument_error);
}

TEST_CASE("where things stand, how they are encoded and who observes may be chosen") {
    generator random(136);
    const inputs<float> in(random, {2, 2, 1, 13, 29, 8, 8});
    const std::vector<double> queries = random.numbers<double>(13, 10),
                              keys = random.numbers<double>(29, 10);
    auto positions = std::optional(heed::positions(queries, keys));
    check_same(in, std::tuple(heed::causal, positions),
               std::tuple(heed::causal, heed::positions(queries, keys)));
    positions.reset();
    check_same(in, std::tuple(heed::causal, positions), std::tuple(heed::causal));

    const std::vector<index> lengths{29, 17};
    auto cache = std::optional(heed::cache_lengths(lengths));
    check_same(in, std::tuple(heed::log_n_scale(16), heed::causal, cache),
               std::tuple(heed::log_n_scale(16), heed::causal, heed::cache_lengths(lengths)));

    const auto rope = heed::rope::plain({.dim = 8});
    using encodings = std::variant<decltype(heed::rotary(rope)),
                                   decltype(heed::rectified_rotary(rope, index(5)))>;
    check_same(in, std::tuple(encodings(heed::rotary(rope))), std::tuple(heed::rotary(rope)));
    check_same(in, std::tuple(encodings(heed::rectified_rotary(rope, 5))),
               std::tuple(heed::rectified_rotary(rope, 5)));

    Eigen::Tensor<float, 3, Eigen::RowMajor> entropy(2, 2, 13), chosen(2, 2, 13);
    const auto o = heed::attention(in.q, in.k, in.v, heed::row_entropy.into(entropy));
    auto observer = std::optional(heed::row_entropy.into(chosen));
    CHECK(same_bits(o, heed::attention(in.q, in.k, in.v, observer)));
    CHECK(same_bits(entropy, chosen));
    chosen.setZero();
    observer.reset();
    CHECK(same_bits(o, heed::attention(in.q, in.k, in.v, observer)));
    CHECK(chosen(1, 1, 7) == 0);
}

TEST_CASE("a variant's parts may have several roles") {
    generator random(137);
    const inputs<float> in(random, {2, 2, 1, 13, 29, 8, 8});
    using any = std::variant<heed::causal_mask, heed::soft_cap_modifier>;
    check_same(in, std::tuple(any(heed::causal)), std::tuple(heed::causal));
    check_same(in, std::tuple(any(heed::soft_cap(2))), std::tuple(heed::soft_cap(2)));
}

TEST_CASE("a learned part may be optional") {
    generator random(138);
    const inputs<float> in(random, {2, 2, 1, 13, 29, 8, 8});
    const auto bias = to_tensor<float>(random_numbers(random, 1, 2, 13, 29));
    const std::vector<float> logits{0.5F, -0.5F};
    const auto bias_part = heed::learn(heed::bias(bias));
    const auto scale_part = heed::learn(heed::scale(0.7));
    const auto sink_part = heed::learn(heed::sink(logits));
    const auto run = [&](const auto&... parts) {
        const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
        return heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    };
    auto scale = std::optional(scale_part);
    auto chosen_bias = std::optional(bias_part);
    auto sink = std::optional(sink_part);
    const auto plain = run(bias_part, scale_part, heed::causal, sink_part);
    const auto chosen = run(chosen_bias, scale, heed::causal, sink);
    CHECK(same_bits(chosen.q, plain.q));
    CHECK(same_bits(chosen.of<0>(), plain.of<0>()));
    CHECK(same_bits(chosen.of<1>(), plain.of<1>()));
    CHECK(same_bits(chosen.of<2>(), plain.of<2>()));

    // What is not there has no gradient, or zeros where its type says how many.
    chosen_bias.reset();
    scale.reset();
    sink.reset();
    auto none = run(chosen_bias, scale, heed::causal, sink);
    CHECK(same_bits(none.q, run(heed::causal).q));
    CHECK(none.of<0>().size() == 0);
    CHECK(none.of<1>()(0) == 0);
    CHECK(none.of<2>().size() == 0);
    // Nor does it say what shape the caller's object must have: it becomes 0.
    Eigen::VectorXf of_scale = Eigen::VectorXf::Ones(5);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, scale);
    heed::attention_backward_into(heed::into(none.q, none.k, none.v, of_scale), in.d_o, o, stats,
                                  in.q, in.k, in.v, scale);
    CHECK(of_scale == Eigen::VectorXf::Zero(5));
    CHECK(same_bits(none.q, run().q));
}

TEST_CASE("what is chosen is checked, and only that") {
    generator random(135);
    const inputs<float> in(random, {1, 2, 1, 13, 29, 8, 8});
    const std::vector<index> wrong{30};
    std::optional<decltype(heed::key_lengths(wrong))> lengths = heed::key_lengths(wrong);
    CHECK_THROWS_AS(heed::attention(in.q, in.k, in.v, lengths), heed::argument_error);
    lengths.reset();
    CHECK_NOTHROW(heed::attention(in.q, in.k, in.v, lengths));
    // Two scales one of which is not there are one scale.
    std::optional<heed::constant_scale> none;
    CHECK(same_bits(heed::attention(in.q, in.k, in.v, none), heed::attention(in.q, in.k, in.v)));
}

}  // namespace test_attention_choices
