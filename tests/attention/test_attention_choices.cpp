#include <optional>
#include <variant>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>
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

TEST_CASE("a normaliser may be chosen where no stats are kept; a temperature anywhere") {
    generator random(134);
    const inputs<float> in(random, {1, 2, 1, 13, 29, 8, 8});
    using normalisers = std::variant<heed::softmax_normaliser, heed::softmax_plus_one_normaliser>;
    CHECK(same_bits(heed::attention(in.q, in.k, in.v, normalisers(heed::softmax)),
                    heed::attention(in.q, in.k, in.v)));
    CHECK(same_bits(heed::attention(in.q, in.k, in.v, normalisers(heed::softmax_plus_one)),
                    heed::attention(in.q, in.k, in.v, heed::softmax_plus_one)));
    std::optional<heed::softmax_normaliser> warm = heed::softmax.temperature(2);
    check_same(in, std::tuple(warm), std::tuple(heed::softmax.temperature(2)));
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
