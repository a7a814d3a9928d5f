// Latent attention and all its gradients are those of transformers' DeepSeek-V2 and -V3 modules.

#include <cstddef>
#include <string>
#include <string_view>

#include <Eigen/Core>

#include <heed/latent.hpp>
#include <heed/rope/yarn.hpp>

#include "golden.hpp"
#include "golden_numbers.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/latent_kernels.hpp"

namespace golden {
namespace test_golden_latent {

/// A module's name of a weight: q_a_proj_bias is q_a_proj.bias there.
std::string module_name(std::string_view name) {
    constexpr std::string_view bias = "_bias";
    if (name.ends_with(bias))
        return std::string(name.substr(0, name.size() - bias.size())) + ".bias";
    return std::string(name) + ".weight";
}

template <class T>
void check(const std::string& name, const heed::latent_options& options,
           const heed::rope::frequencies& rope, double error) {
    INFO(name);
    const example& expected = load("latent", name);
    heed::latent_weight_gradients<T> numbers;
    heed::latent_weights<T> weights;
    heed::for_each_latent_weight(
        weights, numbers, [&](std::string_view weight, auto& to, auto& memory) {
            const std::string label = module_name(weight);
            if (!expected.has(label)) return;
            const array& from = expected[label];
            const std::ptrdiff_t columns = from.extents.back();
            const auto rows =
                static_cast<std::ptrdiff_t>(from.values.size() / static_cast<std::size_t>(columns));
            if (from.extents.size() == 2)
                memory.resize(rows, columns);
            else
                memory.resize(columns, 1);
            for (std::size_t e = 0; e < from.values.size(); ++e)
                memory.data()[e] = static_cast<T>(from.values[e]);
            to = memory;
        });
    const heed::latent_attention<T> mla(weights, options, rope);
    const auto x = expected.tensor<T, 3>("x");
    const auto [y, saved] = mla.forward(x);
    check_numbers("y", y, expected["y"], error);
    const auto gradient = mla.backward(expected.tensor<T, 3>("d_y"), x, saved);
    check_numbers("d_x", gradient.x, expected["d_x"], error);
    int compared = 0;
    heed::for_each_latent_weight(
        weights, gradient.weights,
        [&](std::string_view weight, const auto& given, const auto& found) {
            if (!given.is_given()) return;
            check_numbers(std::string(weight), found, expected["d_" + module_name(weight)], error);
            ++compared;
        });
    CHECK(compared >= 5);
}

TEST_CASE("latent attention is DeepSeek's in transformers", "[golden][latent]") {
    const auto yarn = [](double mscale, double all) {
        return heed::rope::yarn({.dim = 4,
                                 .stretch = 4,
                                 .original_length = 64,
                                 .mscale = mscale,
                                 .mscale_all_dim = all,
                                 .layout = heed::rope::interleaved});
    };
    const auto interleaved = heed::rope::plain({.dim = 4, .layout = heed::rope::interleaved});
    const heed::latent_options plain{.heads = 2, .content = 2, .rotated = 4, .value = 3, .rank = 6};
    heed::latent_options v3 = plain, v2 = plain;
    v3.stretch = v2.stretch = 4;
    v3.mscale_all_dim = 0.6;
    v2.mscale_all_dim = 0.707;
    // In double too the modules rotate in float.
    const double error = 2e-6, in_float = 2e-5;
    check<double>("v3_yarn", v3, yarn(0.8, 0.6), error);
    check<double>("v3_halves", plain, heed::rope::plain({.dim = 4}), error);
    check<double>("v2_yarn", v2, yarn(0.707, 0.707), error);
    check<double>("v2_plain", plain, interleaved, error);
    check<float>("v3_yarn", v3, yarn(0.8, 0.6), in_float);
    check<float>("v2_plain", plain, interleaved, in_float);
}

}  // namespace test_golden_latent
}  // namespace golden
