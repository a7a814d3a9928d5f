#pragma once

#include <cmath>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/part.hpp>
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "linear_attention_with.hpp"

/// \file
/// Which parts each kind of linear attention is made of.

namespace char_lm {

using rotation = decltype(heed::rotary(heed::rope::frequencies({0})));

inline rotation rotation_of(index dim) { return heed::rotary(heed::rope::plain({.dim = dim})); }

/// φ(x) = elu(x) + 1 (arXiv 2006.16236).
struct elu_plus_one_kind {
    using gates = std::tuple<>;
    static constexpr bool divides = true;

    rotation encoding;

    static index features(index dim) { return dim; }
    auto operator()() const { return std::tie(heed::causal, heed::elu_plus_one, encoding); }
};

template <class Scalar>
std::unique_ptr<attention<Scalar>> make_elu_plus_one_attention(const architecture& sizes) {
    return make_linear_attention<Scalar>(sizes,
                                         elu_plus_one_kind{rotation_of(sizes.width / sizes.heads)});
}

/// FAVOR+ (arXiv 2009.14794): twice as many random features as a head has dimensions, and no
/// positions but what a token shift tells.
struct favor_kind {
    using gates = std::tuple<>;
    static constexpr bool divides = true;

    heed::random_features directions;

    static index features(index dim) { return 2 * dim; }
    auto operator()() const { return std::tuple(heed::causal, heed::favor(directions)); }
};

/// Each layer has directions of its own.
template <class Scalar>
std::unique_ptr<attention<Scalar>> make_favor_attention(const architecture& sizes, index layer) {
    const index dim = sizes.width / sizes.heads, count = favor_kind::features(dim);
    return make_linear_attention<Scalar>(
        sizes, favor_kind{heed::random_features({.dim = dim, .count = count, .seed = layer})});
}

/// Retention (arXiv 2307.08621): head h forgets by 1 − 2^{−5−h} a token.
struct retention_kind {
    using gates = std::tuple<>;
    static constexpr bool divides = false;

    rotation encoding;
    std::vector<double> kept_by_head;

    static index features(index dim) { return dim; }
    auto operator()() const {
        return std::tuple_cat(std::tie(heed::causal, encoding),
                              std::tuple(heed::decay(kept_by_head)));
    }
};

template <class Scalar>
std::unique_ptr<attention<Scalar>> make_retention_attention(const architecture& sizes) {
    std::vector<double> kept;
    for (index head = 0; head < sizes.heads; ++head)
        kept.push_back(1 - std::exp2(-5 - double(head)));
    return make_linear_attention<Scalar>(
        sizes, retention_kind{rotation_of(sizes.width / sizes.heads), std::move(kept)});
}

/// Gated linear attention (arXiv 2312.06635): each token fades each channel of the state.
struct gla_kind {
    using gates = std::tuple<fading_channels>;
    static constexpr bool divides = false;

    static index features(index dim) { return dim; }
    template <class Gate>
    auto operator()(const Gate& log_alpha) const {
        return std::tuple(heed::causal, heed::learn(heed::log_decay(log_alpha)));
    }
};

template <class Scalar>
std::unique_ptr<attention<Scalar>> make_gla_attention(const architecture& sizes) {
    return make_linear_attention<Scalar>(sizes, gla_kind{});
}

/// RWKV-6 (arXiv 2404.05892): the same, but a token fades what it has read, and reads itself by a
/// bonus. RWKV learns that, a vector for all tokens; here it is 1, for an attention of this model
/// has no parameters.
template <class Scalar>
struct rwkv6_kind {
    using gates = std::tuple<fading_channels>;
    static constexpr bool divides = false;

    matrix<Scalar> present;  ///< [heads, dim]

    static index features(index dim) { return dim; }
    template <class Gate>
    auto operator()(const Gate& log_alpha) const {
        return std::tuple(heed::causal, heed::learn(heed::log_decay(log_alpha)),
                          heed::bonus(present));
    }
};

template <class Scalar>
std::unique_ptr<attention<Scalar>> make_rwkv6_attention(const architecture& sizes) {
    return make_linear_attention<Scalar>(
        sizes, rwkv6_kind<Scalar>{matrix<Scalar>::Ones(sizes.heads, sizes.width / sizes.heads)});
}

/// Gated DeltaNet (arXiv 2412.06464): each token fades the state and replaces what it has for the
/// token's key.
struct gated_delta_kind {
    using gates = std::tuple<fading_gate, writing_gate>;
    static constexpr bool divides = false;

    static index features(index dim) { return dim; }
    template <class Gate>
    auto operator()(const Gate& log_alpha, const Gate& beta) const {
        return std::tuple_cat(
            std::tie(heed::causal, heed::unit_rows),
            std::tuple(heed::learn(heed::log_decay(log_alpha)), heed::learn(heed::delta(beta))));
    }
};

template <class Scalar>
std::unique_ptr<attention<Scalar>> make_gated_delta_attention(const architecture& sizes) {
    return make_linear_attention<Scalar>(sizes, gated_delta_kind{});
}

}  // namespace char_lm
