// Relative keys and biases give what PyTorch gives, forward and backward, with the gradients of
// what is learned.

#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/relative_bias.hpp>
#include <heed/attention/modifiers/relative_scores.hpp>
#include <heed/projection/project.hpp>
#include <heed/projection/project_backward.hpp>
#include <heed/projection/weights.hpp>

#include "golden.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_relative {

/// An example's inputs, and the comparison of what heed makes of them.
template <class T>
struct comparison {
    const example& golden;
    Eigen::Tensor<T, 4, Eigen::RowMajor> q, k, v, d_o;

    explicit comparison(const std::string& name)
        : golden(load("relative", name)),
          q(golden.tensor<T, 4>("q")),
          k(golden.tensor<T, 4>("k")),
          v(golden.tensor<T, 4>("v")),
          d_o(golden.tensor<T, 4>("d_o")) {}

    template <class Dense>
    void check(const std::string& label, const Dense& actual) const {
        const array& expected = golden[label];
        REQUIRE(static_cast<std::size_t>(actual.size()) == expected.values.size());
        // Results have 12 digits; what rounding does of itself PyTorch's floats show.
        const double bound =
            std::is_same_v<T, float> ? 8 * golden.float32_error(label) + 2e-6 : 1e-10;
        double worst = 0;
        for (std::size_t e = 0; e < expected.values.size(); ++e)
            worst = std::fmax(worst,
                              std::abs(static_cast<double>(actual.data()[e]) - expected.values[e]));
        INFO(label);
        CHECK(worst <= bound);
    }

    /// Forward and backward with a learned part; what depends on it is left to `finish`.
    template <class Part, class Finish>
    void run(const Part& part, const Finish& finish) const {
        const auto with = [&](const auto&... mask) {
            const auto [o, stats] = heed::attention_forward(q, k, v, heed::learn(part), mask...);
            check("o", o);
            check("log_sum_exp", stats.log_sum_exp());
            auto gradient =
                heed::attention_backward(d_o, o, stats, q, k, v, heed::learn(part), mask...);
            check("d_k", gradient.k);
            check("d_v", gradient.v);
            finish(gradient);
            check("d_q", gradient.q);
        };
        if (golden.number("causal") != 0)
            with(heed::causal);
        else
            with();
    }
};

template <class T>
void check_keys(const std::string& name) {
    INFO(name << (std::is_same_v<T, float> ? ", float" : ", double"));
    const comparison<T> compare(name);
    const auto r = compare.golden.template matrix<T>("r");
    const T c = 1 / std::sqrt(static_cast<T>(r.cols()));
    const auto w = heed::weights(c * r);
    compare.run(heed::relative_scores(heed::project(compare.q, w)), [&](auto& gradient) {
        const auto through = heed::project_backward(gradient.template of<0>(), compare.q, w);
        gradient.q += through.x;
        const Eigen::Matrix<T, -1, -1, Eigen::RowMajor> dr = c * through.weight;
        compare.check("d_r", dr);
    });
}

template <class T>
void check_bias(const std::string& name) {
    INFO(name << (std::is_same_v<T, float> ? ", float" : ", double"));
    const comparison<T> compare(name);
    const auto table = compare.golden.template matrix<T>("table");
    compare.run(heed::relative_bias(table),
                [&](const auto& gradient) { compare.check("d_table", gradient.template of<0>()); });
}

TEST_CASE("relative keys are PyTorch's", "[golden]") {
    for (const char* name : {"keys", "keys_causal_grouped", "keys_of_one_distance", "keys_far"}) {
        check_keys<float>(name);
        check_keys<double>(name);
    }
}

TEST_CASE("a table of relative positions is PyTorch's", "[golden]") {
    for (const char* name : {"bias", "bias_of_all_heads"}) {
        check_bias<float>(name);
        check_bias<double>(name);
    }
}

}  // namespace test_golden_relative
}  // namespace golden
