// Tensors of 16-bit numbers give what PyTorch computes of those numbers, rounded once: attention
// forward and backward, and functions on rows.

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/core/simd/pairs.hpp>
#include <heed/init/activations/silu.hpp>
#include <heed/init/rms_norm.hpp>
#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/softmax.hpp>

#include "golden.hpp"
#include "golden_numbers.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_storage {

// The numbers of a file, which are of 16 bits, or are results to be stored so.
template <class S, class X>
auto stored(const X& x) {
    if constexpr (std::is_base_of_v<Eigen::EigenBase<X>, X>) {
        using plain =
            Eigen::Matrix<S, X::RowsAtCompileTime, X::ColsAtCompileTime, X::IsRowMajor ? 1 : 0>;
        return plain(x.template cast<S>());
    } else {
        Eigen::Tensor<S, X::NumIndices, X::Layout> to(x.dimensions());
        for (Eigen::Index e = 0; e < x.size(); ++e) to.data()[e] = static_cast<S>(x.data()[e]);
        return to;
    }
}

// Each number is within half a unit in the last place of S of what is expected, and `tolerance` of
// the largest, for the floats that were rounded.
template <class X>
void check_rounded(const std::string& label, const X& found, const array& expected,
                   double tolerance = 1e-6) {
    INFO(label);
    using S = std::remove_cvref_t<decltype(*found.data())>;
    const double half_unit = std::is_same_v<S, Eigen::bfloat16> ? 0x1p-8 : 0x1p-11;
    REQUIRE(static_cast<std::size_t>(found.size()) == expected.values.size());
    double largest = 0, worst = -std::numeric_limits<double>::infinity();
    for (const double x : expected.values) largest = std::fmax(largest, std::fabs(x));
    for (std::size_t e = 0; e < expected.values.size(); ++e) {
        const auto number = static_cast<double>(static_cast<float>(found.data()[e]));
        const double right = expected.values[e];
        REQUIRE(std::isfinite(number));
        worst = std::fmax(worst, std::fabs(number - right) - half_unit * std::fabs(right));
    }
    CHECK(worst <= tolerance * largest);
}

template <class S>
const char* name_of() {
    return std::is_same_v<S, Eigen::bfloat16> ? "bfloat16" : "half";
}

template <class S, class... Parts>
void check_attention(const std::string& name, const Parts&... parts) {
    INFO(name << " " << name_of<S>());
    const example& expected = load("storage", name + "_" + name_of<S>());
    const auto of = [&](const char* label) { return stored<S>(expected.tensor<float, 4>(label)); };
    const auto q = of("q"), k = of("k"), v = of("v"), d_o = of("d_o");
    // Products of pairs take weights of 16 bits too, and their sum.
    constexpr bool pairs = heed::detail::has_pairs && std::is_same_v<S, Eigen::bfloat16>;
    constexpr double tolerance = pairs ? 2e-3 : 1e-6;
    const auto [o, stats] = heed::attention_forward(q, k, v, parts...);
    check_rounded("o", o, expected["o"], tolerance);
    check_numbers("log_sum_exp", stats.log_sum_exp(), expected["log_sum_exp"], tolerance);
    const auto gradient = heed::attention_backward(d_o, of("o"), stats, q, k, v, parts...);
    check_rounded("d_q", gradient.q, expected["d_q"], tolerance);
    check_rounded("d_k", gradient.k, expected["d_k"], tolerance);
    check_rounded("d_v", gradient.v, expected["d_v"], tolerance);
}

TEMPLATE_TEST_CASE("attention on 16-bit tensors is PyTorch's, rounded", "[golden][storage]",
                   Eigen::bfloat16, Eigen::half) {
    check_attention<TestType>("attention");
    check_attention<TestType>("causal", heed::causal);
}

TEMPLATE_TEST_CASE("functions on rows of 16 bits are PyTorch's, rounded", "[golden][storage]",
                   Eigen::bfloat16, Eigen::half) {
    using S = TestType;
    const example& expected = load("storage", std::string("rows_") + name_of<S>());
    const auto of = [&](const char* label) { return stored<S>(expected.matrix<float>(label)); };
    const auto column = [&](const char* label) {
        return stored<S>(expected.tensor<float, 1>(label));
    };
    const auto x = of("x"), d_y = of("d_y");

    check_rounded("softmax", heed::softmax(x), expected["softmax"]);
    check_rounded("d_x_of_softmax", heed::softmax.backward(x, of("softmax"), d_y),
                  expected["d_x_of_softmax"]);
    check_rounded("log_softmax", heed::log_softmax(x), expected["log_softmax"]);
    check_rounded("d_x_of_log_softmax", heed::log_softmax.backward(x, of("log_softmax"), d_y),
                  expected["d_x_of_log_softmax"]);

    const auto z = heed::log_sum_exp(x);
    check_rounded("log_sum_exp", z, expected["log_sum_exp"]);
    const auto d_z = column("d_z");
    const Eigen::Map<const Eigen::Matrix<S, Eigen::Dynamic, 1>> d_z_of_rows(d_z.data(), d_z.size());
    check_rounded("d_x_of_log_sum_exp", heed::log_sum_exp.backward(x, z, d_z_of_rows),
                  expected["d_x_of_log_sum_exp"]);

    const auto norm = heed::rms_norm(column("gamma"), 1e-5);
    check_rounded("rms_norm", norm(x), expected["rms_norm"]);
    const auto of_norm = norm.backward(x, d_y);
    check_rounded("d_x_of_rms_norm", of_norm.x, expected["d_x_of_rms_norm"]);
    check_numbers("d_gamma_of_rms_norm", of_norm.gamma, expected["d_gamma_of_rms_norm"], 1e-6);

    check_rounded("silu", heed::silu(x), expected["silu"]);
    check_rounded("d_x_of_silu", heed::silu.backward(x, d_y), expected["d_x_of_silu"]);

    const auto loss = heed::cross_entropy.with_gradient(x, expected.numbers<int>("labels"));
    static_assert(std::is_same_v<decltype(loss.value), float>);
    CHECK(std::fabs(static_cast<double>(loss.value) - expected.number("cross_entropy")) < 1e-6);
    check_rounded("d_x_of_cross_entropy", loss.gradient, expected["d_x_of_cross_entropy"]);
}

}  // namespace test_golden_storage
}  // namespace golden
