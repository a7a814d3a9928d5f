#include "methods.hpp"

#include <algorithm>

#include <heed/rope/frequencies.hpp>
#include <heed/rope/interpolation.hpp>
#include <heed/rope/ntk.hpp>
#include <heed/rope/yarn.hpp>

namespace length_extrapolation {

using char_lm::attention_factory;
using char_lm::score_scale;
using heed::rope::frequencies;

namespace {

index head_size(const architecture& sizes) { return sizes.width / sizes.heads; }

attention_pointer plain_attention(const architecture& sizes, index) {
    return rotary_attention(sizes, heed::rope::plain({.dim = head_size(sizes)}));
}

/// The window and the step of inverse Leaky ReRoPE (kexue 9728).
attention_factory<float> inverse_leaky_attention(index expansion) {
    return [=](const architecture& sizes, index) {
        const index window = std::max<index>(1, sizes.context / 4);
        return rectified_attention(sizes, window, 1 / (2 * double(expansion)));
    };
}

attention_factory<float> scattered(index expansion) {
    return [=](const architecture& sizes, index) {
        return scattered_attention(sizes, expansion * sizes.context);
    };
}

/// Rotary positions whose frequencies `stretched(architecture, stretch)` gives.
template <class Stretched>
auto of_frequencies(Stretched stretched) {
    return [=](double stretch) -> attention_factory<float> {
        return [=](const architecture& sizes, index) {
            return rotary_attention(sizes, stretched(sizes, stretch));
        };
    };
}

auto of_window(index window, std::optional<double> step) {
    return [=](double) -> attention_factory<float> {
        return [=](const architecture& sizes, index) {
            return rectified_attention(sizes, window, step);
        };
    };
}

auto as_trained(attention_factory<float> attention) {
    return [=](double) { return attention; };
}

frequencies interpolated(const architecture& sizes, double stretch) {
    return heed::rope::interpolation({.dim = head_size(sizes), .stretch = stretch});
}
frequencies ntk_old(const architecture& sizes, double stretch) {
    return heed::rope::ntk_old({.dim = head_size(sizes), .stretch = stretch});
}
frequencies ntk_fixed(const architecture& sizes, double stretch) {
    return heed::rope::ntk_fixed({.dim = head_size(sizes), .stretch = stretch});
}
frequencies ntk_mixed(const architecture& sizes, double stretch) {
    return heed::rope::ntk_mixed({.dim = head_size(sizes), .stretch = stretch});
}
frequencies yarn(const architecture& sizes, double stretch) {
    return heed::rope::yarn(
        {.dim = head_size(sizes), .stretch = stretch, .original_length = sizes.context});
}

std::string window_name(const char* method, index window) {
    return std::string(method) + "-w" + std::to_string(window);
}

}  // namespace

std::vector<recipe> recipes(const architecture& shared, index expansion) {
    architecture log_n = shared, biased = shared;
    log_n.scale = score_scale::log_n;
    biased.query_key_bias = true;
    return {
        {"plain", "rotary positions", shared, plain_attention},
        {"log_n", "rotary positions, scores scaled by log n", log_n, plain_attention},
        {"bias", "rotary positions, q and k with a bias", biased, plain_attention},
        {"random", "random sorted positions", shared, scattered(expansion)},
        {"inverse_leaky", "inverse Leaky ReRoPE, log n", log_n, inverse_leaky_attention(expansion)},
        {"hwfa", "windows, but the last layer: all, no positions, log n", shared, hwfa_attention},
    };
}

std::vector<method> methods(index context, index expansion) {
    const auto part = [&](index of, index parts) {
        return std::max<index>(1, context * of / parts);
    };
    struct reading {
        std::string name;
        std::function<attention_factory<float>(double)> attention;
    };
    std::vector<reading> readings{
        {"RoPE", as_trained(plain_attention)},    {"PI", of_frequencies(interpolated)},
        {"NTK-old", of_frequencies(ntk_old)},     {"NTK-fixed", of_frequencies(ntk_fixed)},
        {"NTK-mixed", of_frequencies(ntk_mixed)}, {"YaRN", of_frequencies(yarn)},
    };
    for (const index eighths : {1, 2, 4, 6, 8}) {
        const index window = part(eighths, 8);
        readings.push_back({window_name("ReRoPE", window), of_window(window, std::nullopt)});
    }
    for (const auto& [eighths, step] : {std::pair{2, 16}, {2, 8}, {4, 16}}) {
        const index window = part(eighths, 8);
        readings.push_back({window_name("Leaky ReRoPE", window) + "-k" + std::to_string(step),
                            of_window(window, double(step))});
    }

    std::vector<method> all;
    for (const reading& r : readings) {
        all.push_back({r.name, "plain", score_scale::standard, r.attention});
        all.push_back({r.name, "plain", score_scale::log_n_after_training, r.attention});
        all.push_back({r.name, "log_n", score_scale::log_n, r.attention});
    }
    for (const auto scale : {score_scale::standard, score_scale::log_n_after_training})
        all.push_back({"RoPE with q/k bias", "bias", scale, as_trained(plain_attention)});
    for (const auto scale : {score_scale::standard, score_scale::log_n_after_training})
        all.push_back({"random positions", "random", scale, as_trained(scattered(expansion))});
    all.push_back(
        {"inverse Leaky ReRoPE", "inverse_leaky", score_scale::log_n, as_trained(plain_attention)});
    all.push_back({"HWFA", "hwfa", score_scale::log_n, as_trained(hwfa_attention)});
    return all;
}

std::string scale_name(score_scale scale) {
    switch (scale) {
        case score_scale::standard:
            return "";
        case score_scale::log_n_after_training:
            return "log n†";
        case score_scale::log_n:
            return "log n";
    }
    return "";
}

}  // namespace length_extrapolation
