#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/dilated_window.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/problem.hpp"
#include "reference/attention.hpp"
#include "reference/dense.hpp"
#include "reference/sparse.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

// A call of scale × mask × modifier × normaliser, each one of four chosen at run time: that it
// compiles in the time of a few calls is as much of the test as what it computes.

namespace test_attention_four_choices {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

struct halve {
    auto operator()(auto s) const { return s * 0.5; }
};
struct half {
    auto operator()(auto) const { return 0.5; }
};

/// A call, and four parts of each role with what they are to the reference.
struct four_of_each {
    static constexpr index heads = 2, queries = 13, keys = 29;
    static constexpr auto shape = extents{2, heads, 1, queries, keys, 8, 6};
    generator random{301};
    problem from{random, shape};
    inputs<double> in{from};
    reference::tensor biases = random_numbers(random, 1, heads, queries, keys);
    tensor4<double> bias = to_tensor<double>(biases);
    std::vector<double> slopes{0.25, 0.5};
    Eigen::Tensor<bool, 4, Eigen::RowMajor> sees{1, heads, queries, keys};

    four_of_each() {
        for (index e = 0; e < sees.size(); ++e) sees.data()[e] = random.chance(0.6);
    }

    auto scales() const {
        return std::tuple(heed::standard_scale, heed::log_n_scale(16), heed::scale(0.7),
                          heed::cosine);
    }
    auto masks() const {
        return std::tuple(heed::causal, heed::sliding_window(9, 2), heed::dilated_window(4, 1, 3),
                          heed::boolean_mask(sees));
    }
    auto modifiers() const {
        return std::tuple(heed::soft_cap(2), heed::alibi(slopes), heed::bias(bias),
                          heed::modifier(halve{}, half{}));
    }
    auto normalisers() const {
        return std::tuple(heed::softmax, heed::softmax_plus_one, heed::sigmoid, heed::entmax15);
    }

    reference::options options(const std::array<std::size_t, 4>& chosen) const {
        const auto [scale, mask, modifier, normaliser] = chosen;
        reference::options how;
        how.visible = std::array<reference::mask, 4>{
            reference::causal(queries, keys), reference::sliding_window(9, 2, queries, keys),
            reference::dilated_window(4, 1, 3, queries, keys),
            [this](index, index h, index i, index j) { return sees(0, h, i, j); }}[mask];
        how.modifiers = {std::array<reference::modifier, 4>{
            reference::soft_cap(2), reference::alibi(slopes, queries, keys),
            reference::bias(biases),
            reference::modifier{[](double s, index, index, index, index) { return s / 2; },
                                [](double, index, index, index, index) { return 0.5; }}}[modifier]};
        if (scale == 1)
            how.scale = [visible = how.visible](index b, index h, index i) {
                return reference::log_n_scale(reference::visible_count(visible, keys, b, h, i),
                                              shape.dim, 16);
            };
        if (scale == 2) how.scale = [](index, index, index) { return 0.7; };
        if (scale == 3) {
            how.scale = [](index, index, index) { return 1.0; };
            how.normalise_queries = how.normalise_keys = true;
        }
        if (normaliser == 1) how.sink.assign(heads, 0);
        if (normaliser == 2) how.normaliser = reference::sigmoid();
        if (normaliser == 3)
            how.normaliser = reference::row_normaliser{
                [](const reference::row& x) { return reference::entmax15(x); },
                [](const reference::row& x, const reference::row& dp) {
                    return reference::entmax_backward(reference::entmax15(x), 1.5, dp);
                }};
        return how;
    }
};

template <class... Parts>
using one_of = std::variant<std::remove_cvref_t<Parts>...>;

/// The I-th of several parts, as a variant of them.
template <class... Parts>
one_of<Parts...> choose(const std::tuple<Parts...>& parts, std::size_t which) {
    std::optional<one_of<Parts...>> chosen;
    const auto one = [&]<std::size_t I>() {
        if (I == which) chosen.emplace(std::in_place_index<I>, std::get<I>(parts));
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (one.template operator()<I>(), ...); }
    (std::index_sequence_for<Parts...>{});
    return *chosen;
}

template <class... Parts>
auto forward_and_backward(const inputs<double>& in, const Parts&... parts) {
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    return std::array{o, gradient.q, gradient.k, gradient.v};
}
/// The same with all parts chosen at run time: the call that this is about.
auto with_chosen(const four_of_each& x, const std::array<std::size_t, 4>& chosen) {
    return forward_and_backward(x.in, choose(x.scales(), chosen[0]), choose(x.masks(), chosen[1]),
                                choose(x.modifiers(), chosen[2]),
                                choose(x.normalisers(), chosen[3]));
}

TEST_CASE("four choices of four: each of the 256 is the reference's") {
    const four_of_each x;
    const auto check = [](const tensor4<double>& actual, const reference::tensor& expected) {
        double largest = 1, error = 0;
        for (std::size_t e = 0; e < expected.values.size(); ++e) {
            largest = std::max(largest, std::abs(expected.values[e]));
            error = std::max(error, std::abs(actual.data()[e] - expected.values[e]));
        }
        CHECK(error <= 1e-12 * largest);
    };
    for (std::size_t all = 0; all < 256; ++all) {
        const std::array chosen{all / 64, all / 16 % 4, all / 4 % 4, all % 4};
        INFO("scale " << chosen[0] << ", mask " << chosen[1] << ", modifier " << chosen[2]
                      << ", normaliser " << chosen[3]);
        const auto how = x.options(chosen);
        const auto exact = reference::attention_forward(x.from.q, x.from.k, x.from.v, how);
        const auto gradient =
            reference::attention_backward(x.from.d_o, exact, x.from.q, x.from.k, x.from.v, how);
        const auto [o, dq, dk, dv] = with_chosen(x, chosen);
        check(o, exact.o);
        check(dq, gradient.q);
        check(dk, gradient.k);
        check(dv, gradient.v);
    }
}

TEST_CASE("four choices of four give the bits of the parts themselves") {
    const four_of_each x;
    const auto check =
        [&]<std::size_t Scale, std::size_t Mask, std::size_t Modifier, std::size_t Normaliser>() {
            INFO("scale " << Scale << ", mask " << Mask << ", modifier " << Modifier
                          << ", normaliser " << Normaliser);
            const auto chosen = with_chosen(x, {Scale, Mask, Modifier, Normaliser});
            const auto plain = forward_and_backward(
                x.in, std::get<Scale>(x.scales()), std::get<Mask>(x.masks()),
                std::get<Modifier>(x.modifiers()), std::get<Normaliser>(x.normalisers()));
            for (std::size_t which = 0; which < 4; ++which)
                CHECK(same_bits(chosen[which], plain[which]));
        };
    check.template operator()<0, 0, 0, 0>();
    check.template operator()<1, 1, 1, 1>();
    check.template operator()<2, 2, 2, 2>();
    check.template operator()<3, 3, 3, 3>();
    check.template operator()<1, 3, 0, 2>();
    check.template operator()<2, 0, 3, 1>();
}

}  // namespace test_attention_four_choices
