#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/denominator.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>

#include "linear/problem.hpp"

namespace test_linear_state {

using namespace heed_test;
using heed::index;

/// S [d_v, m] and Z of one head, in double.
struct sums {
    Eigen::MatrixXd s;
    Eigen::VectorXd z;
};
sums sums_of(const linear_problem& from, index b, index k_head, index v_head, index first,
             index last, double (*map)(double)) {
    sums result{Eigen::MatrixXd::Zero(from.sizes.value_dim, from.sizes.dim),
                Eigen::VectorXd::Zero(from.sizes.dim)};
    for (index j = first; j < last; ++j) {
        for (index f = 0; f < from.sizes.dim; ++f) {
            const double feature = map(from.k(b, k_head, j, f));
            result.z(f) += feature;
            for (index c = 0; c < from.sizes.value_dim; ++c)
                result.s(c, f) += feature * from.v(b, v_head, j, c);
        }
    }
    return result;
}

TEST_CASE("a state is the sums of all keys, those since the last line of the grid too") {
    generator random(940);
    const linear_problem from(random, {2, 1, 2, 4, 45, 45, 3, 5});
    const linear_inputs<double> in(from);
    const auto check = [&](const heed::linear_state<double>& state, double (*map)(double),
                           index first, std::vector<index> lengths) {
        REQUIRE(state.batch() == 2);
        REQUIRE(state.heads() == 4);
        for (index b = 0; b < 2; ++b) {
            const index length = lengths[static_cast<std::size_t>(b)];
            CHECK(state.length(b) == length);
            for (index h = 0; h < 4; ++h) {
                const sums expected = sums_of(from, b, h / 2, h, first, first + length, map);
                const double most = expected.s.cwiseAbs().maxCoeff();
                CHECK((state.matrix(b, h) - expected.s).cwiseAbs().maxCoeff() <= 1e-13 * most);
                CHECK((state.denominator(b, h) - expected.z).cwiseAbs().maxCoeff() <=
                      1e-13 * expected.z.maxCoeff());
            }
        }
    };
    const auto run = [&](heed::linear_state<double>& state, const auto&... parts) {
        const auto o =
            heed::linear_attention(in.q, in.k, in.v, heed::causal, parts..., heed::carry(state));
        REQUIRE(o.size() > 0);
    };
    heed::linear_state<double> state;
    CHECK(state.empty());
    CHECK(state.length() == 0);
    run(state, heed::elu_plus_one);
    check(state, reference::elu_plus_one, 0, {45, 45});
    heed::linear_state<double> of_logits;
    run(of_logits, heed::exp_features);
    check(of_logits, reference::exponential, 0, {45, 45});
    heed::linear_state<double> ragged;
    run(ragged, heed::elu_plus_one, heed::key_lengths({45, 7}));
    check(ragged, reference::elu_plus_one, 0, {45, 7});
    heed::linear_state<double> last_document;
    run(last_document, heed::elu_plus_one, heed::cumulative_lengths(std::vector<index>{0, 9, 45}));
    check(last_document, reference::elu_plus_one, 9, {36, 36});
    state.clear();
    CHECK(state.empty());
}

TEST_CASE("a copy of a state is a fork") {
    generator random(941);
    const linear_inputs<float> in(linear_problem(random, {1, 2, 2, 2, 20, 20, 4, 4}));
    heed::linear_state<float> state;
    const auto step = [&](heed::linear_state<float>& of) {
        return heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::elu_plus_one,
                                      heed::carry(of));
    };
    const auto first = step(state);
    heed::linear_state<float> fork = state;
    const auto a = step(state), b = step(fork);
    for (index e = 0; e < a.size(); ++e) CHECK(a.data()[e] == b.data()[e]);
    CHECK(fork.length() == 40);
}

TEST_CASE("a state of given matrices goes on from them") {
    generator random(942);
    const linear_problem from(random, {1, 2, 2, 2, 80, 80, 4, 3});
    const linear_inputs<double> in(from);
    const tensor4<double> whole =
        heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::elu_plus_one);
    Eigen::Tensor<double, 4, Eigen::RowMajor> s(1, 2, 3, 4);
    Eigen::Tensor<double, 3, Eigen::RowMajor> z(1, 2, 4);
    for (index h = 0; h < 2; ++h) {
        const sums of = sums_of(from, 0, h, h, 0, 50, reference::elu_plus_one);
        for (index f = 0; f < 4; ++f) {
            z(0, h, f) = of.z(f);
            for (index c = 0; c < 3; ++c) s(0, h, c, f) = of.s(c, f);
        }
    }
    auto state = heed::linear_state<double>::from(s, z);
    const auto tail = [](const tensor4<double>& x) {
        const index d = x.dimension(3);
        return heed::view(x.data() + 50 * d, {1, 2, 30, d}, {160 * d, 80 * d, d, 1});
    };
    const tensor4<double> o = heed::linear_attention(
        tail(in.q), tail(in.k), tail(in.v), heed::causal, heed::elu_plus_one, heed::carry(state));
    for (index h = 0; h < 2; ++h)
        for (index i = 0; i < 30; ++i)
            for (index c = 0; c < 3; ++c)
                CHECK(o(0, h, i, c) == Approx(whole(0, h, 50 + i, c)).margin(1e-13));
    state.rewind(5);  // in the first chunk: it still begins with the matrices
    CHECK(state.length() == 25);
    CHECK((state.matrix(0, 1) - sums_of(from, 0, 1, 1, 0, 75, reference::elu_plus_one).s)
              .cwiseAbs()
              .maxCoeff() < 1e-12);
}

TEST_CASE("a draft whose first key alone raises references leaves nothing behind") {
    generator random(944);
    const linear_inputs<double> in(linear_problem(random, {1, 2, 2, 2, 75, 75, 4, 3}));
    for (const bool rewindable : {false, true}) {
        for (const index first : {1, 20, 31, 32, 45}) {
            INFO("seed " << seed() << ", rewindable " << rewindable << ", token " << first);
            tensor4<double> o(1, 2, 75, 3), expected(1, 2, 75, 3), k = in.k;
            const auto go_on = [&](heed::linear_state<double>& state, const tensor4<double>& keys,
                                   tensor4<double>& to, index from, index count) {
                const auto tokens = [&](const tensor4<double>& x) {
                    const index d = x.dimension(3);
                    return heed::view(const_cast<double*>(x.data()) + from * d, {1, 2, count, d},
                                      {150 * d, 75 * d, d, 1});
                };
                heed::linear_attention_into(tokens(to), tokens(in.q), tokens(keys), tokens(in.v),
                                            heed::causal, heed::exp_features, heed::carry(state));
            };
            k(0, 1, first, 2) += 100;
            heed::linear_state<double> state({.rewindable = rewindable}), never;
            go_on(state, in.k, o, 0, first);
            go_on(state, k, o, first, 4);
            // That key is taken back where older memory is of what was before it, not of itself.
            const bool all_back = rewindable && first != 31;
            REQUIRE((state.can_rewind() >= 4) == all_back);
            CHECK(state.can_rewind() >= 3);
            state.rewind(all_back ? 4 : 3);
            const tensor4<double>& true_keys = all_back ? in.k : k;
            go_on(never, true_keys, expected, 0, state.length());
            for (index h = 0; h < 2; ++h) {
                CHECK(state.matrix(0, h) == never.matrix(0, h));
                CHECK(state.denominator(0, h) == never.denominator(0, h));
            }
            if (all_back && first == 32) CHECK(state.can_rewind() == 32);
            const index seen = state.length();
            go_on(state, true_keys, o, seen, 75 - seen);
            go_on(never, true_keys, expected, seen, 75 - seen);
            for (index h = 0; h < 2; ++h)
                for (index t = 0; t < 75; ++t)
                    for (index c = 0; c < 3; ++c) CHECK(o(0, h, t, c) == expected(0, h, t, c));
        }
    }
}

TEST_CASE("sums of 2^20 tokens keep their digits") {
    generator random(943);
    constexpr index block = 4096, blocks = 256;
    heed::linear_state<float> state;
    Eigen::MatrixXd s = Eigen::MatrixXd::Zero(8, 4);
    float chain = 0;
    linear_problem from(random, {1, 1, 1, 1, block, block, 4, 8});
    for (double& x : from.v.values) x += 1;
    const linear_inputs<float> in(from);
    tensor4<float> o(1, 1, block, 8);
    const sums of_block = sums_of(from, 0, 0, 0, 0, block, reference::elu_plus_one);
    for (index i = 0; i < blocks; ++i) {
        heed::linear_attention_into(o, in.q, in.k, in.v, heed::causal, heed::elu_plus_one,
                                    heed::carry(state));
        s += of_block.s;
        for (index j = 0; j < block; ++j)
            chain += static_cast<float>(reference::elu_plus_one(from.k(0, 0, j, 0)) *
                                        from.v(0, 0, j, 0));
    }
    REQUIRE(state.length() == block * blocks);
    const double error =
        ((state.matrix(0, 0).cast<double>() - s).cwiseAbs().array() / s.cwiseAbs().array())
            .maxCoeff();
    CHECK(error < 3e-7);
    CHECK(std::abs(static_cast<double>(chain) / s(0, 0) - 1) > 10 * error);  // it is no small thing
}

}  // namespace test_linear_state
