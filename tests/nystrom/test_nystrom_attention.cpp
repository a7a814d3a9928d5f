#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <type_traits>
#include <variant>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/nystrom/nystrom_attention.hpp>
#include <heed/nystrom/residual_convolution.hpp>

#include "attention/problem.hpp"
#include "reference/nystrom.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_nystrom_attention {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

using options = heed::nystrom_options;

/// How far o is from the reference's, in units of the largest |o| or |v|.
template <class T, class... Parts>
double error_of(const problem& from, const reference::nystrom_options& how, const options& chosen,
                const Parts&... parts) {
    const inputs<T> in(from);
    const auto exact = reference::nystrom_attention(from.q, from.k, from.v, how);
    const auto o = heed::nystrom_attention(in.q, in.k, in.v, chosen, parts...);
    const double size =
        std::max(reference::largest_magnitude(exact), reference::largest_magnitude(from.v));
    return reference::largest_difference(to_reference(o, exact), exact) / std::max(size, 1.0);
}

/// By rounds and without an inverse. A few rounds do not amplify rounding much.
template <class T, class... Parts>
void check(const problem& from, reference::nystrom_options how, int rounds, const Parts&... parts) {
    constexpr bool is_double = std::is_same_v<T, double>;
    INFO(to_string(from.sizes) << ", landmarks " << how.landmarks << ", rounds " << rounds);
    const options by_rounds{.landmarks = how.landmarks, .rounds = rounds};
    const options without{.landmarks = how.landmarks, .inverse = heed::pseudo_inverse::none};
    CHECK(error_of<T>(from, how, without, parts...) < (is_double ? 1e-13 : 3e-6));
    how.inverse = [=](const reference::tensor& a) {
        return reference::iterative_pseudo_inverse(a, rounds);
    };
    CHECK(error_of<T>(from, how, by_rounds, parts...) < (is_double ? 1e-11 : 1e-3));
}
void check_both(const problem& from, const reference::nystrom_options& how, int rounds) {
    check<double>(from, how, rounds);
    check<float>(from, how, rounds);
}

TEST_CASE("Nyström attention is its definition, for any shape") {
    generator random(601);
    for (int round = 0; round < 12; ++round) {
        const problem from(random, random_extents(random));
        reference::nystrom_options how;
        how.landmarks = random.one_of<index>({1, 2, 3, 5, 8, 16, 200});
        check_both(from, how, static_cast<int>(random.integer(0, 7)));
    }
    for (const extents& e : {extents{1, 2, 1, 300, 300, 20, 17},
                             {2, 1, 1, 7, 521, 8, 8},
                             {1, 2, 1, 9, 4500, 5, 4},
                             {1, 2, 1, 8, 40000, 2, 3}}) {
        const problem from(random, e, 2);
        reference::nystrom_options how;
        how.landmarks = e.keys == 300 ? 29 : 7;
        check_both(from, how, 6);
    }
    const problem many(random, {1, 1, 1, 300, 300, 8, 8}, 2);
    reference::nystrom_options how;
    how.landmarks = 280;  // more than a block of keys holds
    check_both(many, how, 1);
}

TEST_CASE("scales, temperatures and convolutions of Nyström attention") {
    generator random(602);
    for (int round = 0; round < 6; ++round) {
        extents e = random_extents(random);
        e.keys = e.queries;
        const problem from(random, e);
        reference::nystrom_options how;
        how.landmarks = random.one_of<index>({2, 5, 11});
        how.temperature = 0.7;
        const index taps = random.one_of<index>({1, 3, 5, 33});
        how.convolution = random_numbers(random, 1, 1, e.heads, taps);
        const Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>> w(
            how.convolution.values.data(), e.heads, taps);
        const auto convolution = heed::residual_convolution(w);
        const auto softmax = heed::softmax.temperature(0.7);

        std::vector<double> factors = random.numbers<double>(static_cast<std::size_t>(e.heads));
        how.scale = [&](index head, index) { return factors[static_cast<std::size_t>(head)]; };
        check<double>(from, how, 4, convolution, heed::scale(factors), softmax);
        // log n counts the keys of the sequence, not the landmarks.
        how.scale = [&](index, index keys) {
            return std::log(static_cast<double>(keys)) / std::log(64.0) / std::sqrt(double(e.dim));
        };
        check<float>(from, how, 4, softmax, heed::log_n_scale(64), convolution);
    }
}

TEST_CASE("Nyström attention of a padded batch") {
    generator random(603);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const index queries : {37, 12}) {
        const extents e{5, 4, 2, queries, 37, 6, 9};
        problem from(random, e);
        reference::nystrom_options how;
        how.landmarks = 8;
        how.lengths = {37, 5, 5, 0, 13};
        for (index b = 0; b < e.batch; ++b) {  // what is padding is never read
            const index length = how.lengths[static_cast<std::size_t>(b)];
            for (auto* x : {&from.q, &from.k, &from.v}) {
                if (x == &from.q && queries != e.keys) continue;
                for (index h = 0; h < x->heads(); ++h)
                    for (index i = length; i < x->rows(); ++i)
                        for (index c = 0; c < x->columns(); ++c) (*x)(b, h, i, c) = nan;
            }
        }
        const auto lengths = heed::key_lengths(how.lengths);
        check<double>(from, how, 5, lengths);
        if (queries == e.keys) {
            how.convolution = random_numbers(random, 1, 1, e.heads, 5);
            const Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>> w(
                how.convolution.values.data(), e.heads, 5);
            check<float>(from, how, 5, lengths, heed::residual_convolution(w));
        }
    }
}

TEST_CASE("with as many landmarks as tokens Nyström attention is attention") {
    generator random(604);
    for (const extents& e : {extents{2, 2, 1, 13, 13, 5, 3}, {1, 3, 3, 31, 31, 16, 16}}) {
        const problem from(random, e);
        const inputs<double> in(from);
        const auto o = heed::attention(in.q, in.k, in.v);
        const auto error = [&](const options& chosen) {
            const auto x = heed::nystrom_attention(in.q, in.k, in.v, chosen);
            double largest = 0;
            for (index i = 0; i < o.size(); ++i)
                largest = std::max(largest, std::abs(o.data()[i] - x.data()[i]));
            return largest;
        };
        CHECK(error({.landmarks = 64, .inverse = heed::pseudo_inverse::svd}) < 1e-10);
        CHECK(error({.landmarks = e.keys, .rounds = 30}) < 1e-10);
        CHECK(error({.landmarks = e.keys, .rounds = 6}) > 1e-6);  // too few
    }
    // One query is its own landmark, and its only number is 1.
    const inputs<float> one(random, {1, 2, 2, 1, 50, 8, 8});
    const auto exact = heed::attention(one.q, one.k, one.v);
    const auto o = heed::nystrom_attention(one.q, one.k, one.v, {.landmarks = 16});
    for (index i = 0; i < o.size(); ++i)
        CHECK(o.data()[i] == Approx(exact.data()[i]).epsilon(1e-5));
}

TEST_CASE("the exact inverse of landmarks, and landmarks that are all the same") {
    generator random(605);
    for (int round = 0; round < 5; ++round) {
        const problem from(random, random_extents(random), 2);
        reference::nystrom_options how;
        how.landmarks = random.one_of<index>({1, 3, 6});
        how.inverse = reference::inverse;
        const options chosen{.landmarks = how.landmarks, .inverse = heed::pseudo_inverse::svd};
        INFO(to_string(from.sizes) << ", landmarks " << how.landmarks);
        CHECK(error_of<double>(from, how, chosen) < 1e-8);
    }
    // Keys that are the same: A is 1/m everywhere, of rank 1, and o the mean of v.
    inputs<double> in(random, {1, 1, 1, 40, 40, 4, 3});
    for (index i = 0; i < in.k.size(); ++i) in.k.data()[i] = in.k.data()[i % 4];
    const auto exact = heed::attention(in.q, in.k, in.v);
    for (const auto how : {heed::pseudo_inverse::svd, heed::pseudo_inverse::rounds}) {
        const auto o = heed::nystrom_attention(in.q, in.k, in.v,
                                               {.landmarks = 8, .rounds = 40, .inverse = how});
        for (index i = 0; i < o.size(); ++i) CHECK(std::abs(o.data()[i] - exact.data()[i]) < 1e-12);
    }
}

TEST_CASE("keys of any size, in any piece of a long sequence") {
    generator random(608);
    inputs<float> in(random, {1, 1, 1, 3, 6000, 4, 4});
    const options chosen{.landmarks = 1, .inverse = heed::pseudo_inverse::none};
    // The one landmark of q sees all keys; what it sees is far apart in size.
    in.q.setConstant(1);
    in.k.setConstant(-1e4f);
    const auto coldest = heed::softmax.temperature(1e-42);  // log₂e/τ is beyond a float
    for (const index key : {5, 1023, 1024, 4100, 5999}) {
        for (index c = 0; c < 4; ++c) in.k(0, 0, key, c) = 1e4f;
        auto o = heed::nystrom_attention(in.q, in.k, in.v, chosen);
        for (index c = 0; c < 4; ++c) CHECK(o(0, 0, 2, c) == in.v(0, 0, key, c));
        o = heed::nystrom_attention(in.q, in.k, in.v, chosen, coldest);
        for (index c = 0; c < 4; ++c) CHECK(o(0, 0, 2, c) == in.v(0, 0, key, c));
        // A NaN is in every landmark of its head.
        in.k(0, 0, key, 0) = std::numeric_limits<float>::quiet_NaN();
        o = heed::nystrom_attention(in.q, in.k, in.v, chosen);
        for (index i = 0; i < o.size(); ++i) CHECK(std::isnan(o.data()[i]));
        for (index c = 0; c < 4; ++c) in.k(0, 0, key, c) = -1e4f;
    }
}

TEST_CASE("Nyström attention of values whose sums are beyond a float") {
    generator random(609);
    inputs<float> in(random, {1, 2, 1, 70, 70, 4, 4});
    const auto run = [&] {
        return heed::nystrom_attention(in.q, in.k, in.v,
                                       {.landmarks = 9, .inverse = heed::pseudo_inverse::none});
    };
    in.v.setConstant(1);
    for (index i = 0; i < 70; ++i) in.v(0, 0, i, 2) = static_cast<float>(i % 5);
    const auto small = run();
    const float large = std::ldexp(1.0F, 125);
    in.v = in.v * large;
    const auto o = run();
    for (index i = 0; i < o.size(); ++i)
        CHECK(o.data()[i] == Approx(small.data()[i] * large).epsilon(1e-5));
}

TEST_CASE("Nyström attention of matrices, of nothing, and into the caller's memory") {
    generator random(606);
    const Eigen::MatrixXf q = random.matrix<float>(20, 4), k = random.matrix<float>(20, 4),
                          v = random.matrix<float>(20, 3);  // column-major
    const options chosen{.landmarks = 5};
    const Eigen::MatrixXf o = heed::nystrom_attention(q, k, v, chosen);
    Eigen::Tensor<float, 3, Eigen::RowMajor> q3(1, 20, 4), k3(1, 20, 4), v3(1, 20, 3);
    for (int i = 0; i < 20; ++i) {
        for (int c = 0; c < 4; ++c) q3(0, i, c) = q(i, c), k3(0, i, c) = k(i, c);
        for (int c = 0; c < 3; ++c) v3(0, i, c) = v(i, c);
    }
    const auto o3 = heed::nystrom_attention(q3, k3, v3, chosen);
    Eigen::MatrixXf wide = Eigen::MatrixXf::Zero(22, 9);
    heed::nystrom_attention_into(wide.block(1, 2, 20, 3), q, k, v, chosen);
    for (int i = 0; i < 20; ++i)
        for (int c = 0; c < 3; ++c) {
            CHECK(o3(0, i, c) == o(i, c));
            CHECK(wide(1 + i, 2 + c) == o(i, c));
        }
    for (const extents& e : {extents{1, 1, 1, 0, 0, 4, 4},
                             {1, 2, 1, 3, 0, 4, 4},
                             {1, 2, 1, 0, 3, 4, 4},
                             {0, 1, 1, 3, 3, 4, 4},
                             {1, 0, 0, 3, 3, 4, 4}}) {
        INFO(to_string(e));
        const inputs<float> in(random, e);
        const auto nothing = heed::nystrom_attention(in.q, in.k, in.v, chosen);
        for (index i = 0; i < nothing.size(); ++i) CHECK(nothing.data()[i] == 0);
    }
}

TEST_CASE("parts of Nyström attention that are chosen at run time") {
    generator random(607);
    const inputs<double> in(random, {1, 2, 2, 19, 19, 4, 3});
    const options chosen{.landmarks = 4};
    const auto same = [](const auto& a, const auto& b) { return same_bits(a, b); };
    std::optional<heed::softmax_normaliser> softmax;
    using scale = std::variant<heed::constant_scale, decltype(heed::log_n_scale(64))>;
    scale any = heed::scale(0.3);
    const auto run = [&] {
        return heed::nystrom_attention(in.q, in.k, in.v, chosen, any, softmax);
    };
    CHECK(same(run(), heed::nystrom_attention(in.q, in.k, in.v, chosen, heed::scale(0.3))));
    any = heed::log_n_scale(64);
    softmax = heed::softmax.temperature(2);
    CHECK(same(run(), heed::nystrom_attention(in.q, in.k, in.v, chosen, heed::log_n_scale(64),
                                              heed::softmax.temperature(2))));
}

}  // namespace test_nystrom_attention
