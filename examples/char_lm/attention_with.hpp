#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/heed.hpp>

#include "attention.hpp"

/// \file
/// The model's attention, of any parts: all of it is heed's. One program file for each normaliser
/// includes this, so that they compile side by side.

namespace char_lm {

/// How scores are scaled, chosen at run time: a scale of one's own.
class chosen_scale : public heed::scale_base {
  public:
    static constexpr bool needs_visible_count = true;

    chosen_scale(score_scale how, index training_length)
        : how_(how), log_length_(std::log(double(training_length))) {}

    double on_row(const heed::query_row&, const heed::attention_shape& shape,
                  heed::index visible) const {
        const double plain = 1 / std::sqrt(double(shape.dim));
        if (how_ == score_scale::standard) return plain;
        const double log_n = std::log(double(std::max<index>(1, visible))) / log_length_;
        return plain * (how_ == score_scale::log_n ? log_n : std::max(1.0, log_n));
    }

  private:
    score_scale how_;
    double log_length_;
};

/// What the parts of an attention may depend on.
struct attention_call {
    score_scale scale = score_scale::standard;
    index sequences = 1;
    index length = 0;                        ///< of each sequence
    std::optional<index> first_window = {};  ///< in training, of all its windows
};

template <class Scalar, class Parts>
struct stats_of_parts;

template <class Scalar, class... Part>
struct stats_of_parts<Scalar, std::tuple<Part...>> {
    using type = heed::stats_for<Scalar, Part...>;
};

/// `Parts` gives the parts of a call in a tuple. To write, it also has the position encoding, which
/// belongs to a cache of keys, and gives all other parts by `beside_encoding`.
template <class Scalar, class Parts>
class attention_with final : public attention<Scalar> {
  public:
    attention_with(const architecture& sizes, Parts parts)
        : heads_(sizes.heads),
          dimension_(sizes.width / sizes.heads),
          trained_with_(sizes.scale),
          parts_(std::move(parts)) {}

    [[nodiscard]] index state_size(index length) const override {
        return 2 * length * heads_ * dimension_;  // keys and values
    }

    [[nodiscard]] std::unique_ptr<attention_stats> make_stats() const override {
        return std::make_unique<stats_of>();
    }

    void forward(const matrix<Scalar>& qkv, index sequences, index first_window,
                 matrix<Scalar>& out, attention_stats& stats) const override {
        const index length = qkv.rows() / sequences;
        auto& kept = static_cast<stats_of&>(stats);
        kept.call = {trained_with_, sequences, length, first_window};
        out.resize(qkv.rows(), heads_ * dimension_);
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        const auto o = heads_of(out.data(), sequences, length);
        std::apply(
            [&, &q = q, &k = k, &v = v](const auto&... part) {
                heed::attention_forward_into(o, kept.rows, q, k, v, part...);
            },
            parts_(kept.call));
    }

    void backward(const matrix<Scalar>& d_out, const matrix<Scalar>& out,
                  const attention_stats& stats, const matrix<Scalar>& qkv, index sequences,
                  matrix<Scalar>& d_qkv) const override {
        const index length = qkv.rows() / sequences;
        const auto& kept = static_cast<const stats_of&>(stats);
        d_qkv.resize(qkv.rows(), qkv.cols());
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        const auto [dq, dk, dv] = split(d_qkv.data(), sequences, length);
        const auto gradients = heed::into(dq, dk, dv);
        const auto d_o = heads_of(d_out.data(), sequences, length);
        const auto o = heads_of(out.data(), sequences, length);
        std::apply(
            [&, &q = q, &k = k, &v = v](const auto&... part) {
                heed::attention_backward_into(gradients, d_o, o, kept.rows, q, k, v, part...);
            },
            parts_(kept.call));
    }

    void infer(const matrix<Scalar>& qkv, index sequences, score_scale scale,
               matrix<Scalar>& out) const override {
        const index length = qkv.rows() / sequences;
        out.resize(qkv.rows(), heads_ * dimension_);
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        attend(heads_of(out.data(), sequences, length), q, k, v, scale);
    }

    [[nodiscard]] std::unique_ptr<attention_cache> make_cache(index capacity) const override {
        if constexpr (can_write) {
            return std::make_unique<cache>(heed::kv_cache<Scalar>(
                {.kv_heads = heads_, .dim = dimension_, .capacity = capacity}, parts_.encoding));
        } else {
            throw std::logic_error("an attention whose encoding is not apart has no cache");
        }
    }

    /// heed places the queries at the last of the keys, so the causal mask and the rotation fit.
    void decode(const matrix<Scalar>& qkv, attention_cache& seen, score_scale scale,
                matrix<Scalar>& out) const override {
        if constexpr (can_write) {
            auto& keys_and_values = static_cast<cache&>(seen).keys_and_values;
            const index length = qkv.rows();
            out.resize(length, heads_ * dimension_);
            const auto [q, k, v] = split(qkv.data(), 1, length);
            keys_and_values.append(k, v);
            std::apply(
                [&, &q = q](const auto&... part) {
                    heed::attention_into(heads_of(out.data(), 1, length), q, keys_and_values,
                                         part...);
                },
                parts_.beside_encoding({.scale = scale, .length = keys_and_values.length()}));
        }
    }

    [[nodiscard]] matrix<Scalar> weights(const matrix<Scalar>& qkv, index head,
                                         score_scale scale) const override {
        const index length = qkv.rows();
        const auto [q, k, v] = split(qkv.data(), 1, length);
        const auto all =
            std::apply([&, &q = q, &k = k](
                           const auto&... part) { return heed::attention_weights(q, k, part...); },
                       parts_({.scale = scale, .length = length}));
        matrix<Scalar> one(length, length);
        for (index i = 0; i < length; ++i)
            for (index j = 0; j < length; ++j) one(i, j) = all(0, head, i, j);
        return one;
    }

    [[nodiscard]] matrix<Scalar> entropies(const matrix<Scalar>& qkv,
                                           score_scale scale) const override {
        const index length = qkv.rows();
        const auto [q, k, v] = split(qkv.data(), 1, length);
        matrix<Scalar> all(heads_, length), out(length, heads_ * dimension_);
        const auto each_row = heed::view(all.data(), {index(1), heads_, length});
        attend(heads_of(out.data(), 1, length), q, k, v, scale, heed::row_entropy.into(each_row));
        return all;
    }

  private:
    static constexpr bool can_write = requires(const Parts& parts) { parts.encoding; };

    struct cache final : attention_cache {
        explicit cache(heed::kv_cache<Scalar> empty) : keys_and_values(std::move(empty)) {}
        void clear() override { keys_and_values.clear(); }

        heed::kv_cache<Scalar> keys_and_values;
    };

    using parts_of_call = std::invoke_result_t<const Parts&, const attention_call&>;

    struct stats_of final : attention_stats {
        typename stats_of_parts<Scalar, parts_of_call>::type rows;
        attention_call call;
    };

    template <class Out, class View, class... Observer>
    void attend(Out&& out, const View& q, const View& k, const View& v, score_scale scale,
                const Observer&... observer) const {
        std::apply(
            [&](const auto&... part) { heed::attention_into(out, q, k, v, part..., observer...); },
            parts_({.scale = scale, .sequences = k.extents[0], .length = k.extents[2]}));
    }

    /// q, k and v as [sequences, heads, length, dimension] over rows of [q | k | v], without a
    /// copy.
    template <class Number>
    [[nodiscard]] auto split(Number* qkv, index sequences, index length) const {
        const index width = heads_ * dimension_;
        const auto rows = heed::view(qkv, {sequences, length, 3 * width});
        return std::array{heed::split_heads(rows, heads_, 0, dimension_),
                          heed::split_heads(rows, heads_, width, dimension_),
                          heed::split_heads(rows, heads_, 2 * width, dimension_)};
    }

    /// [sequences, heads, length, dimension] over rows that hold all heads of one token.
    template <class Number>
    [[nodiscard]] auto heads_of(Number* rows, index sequences, index length) const {
        return heed::split_heads(heed::view(rows, {sequences, length, heads_ * dimension_}),
                                 heads_);
    }

    index heads_;
    index dimension_;
    score_scale trained_with_;
    Parts parts_;
};

template <class Scalar, class Parts>
std::unique_ptr<attention<Scalar>> make_attention_with(const architecture& sizes, Parts parts) {
    return std::make_unique<attention_with<Scalar, Parts>>(sizes, std::move(parts));
}

/// Causal, with rotary positions, the scale that is asked for, and a normaliser.
template <class Normaliser>
struct rotary_parts {
    decltype(heed::rotary(heed::rope::frequencies({0}))) encoding;
    Normaliser normaliser;
    index trained_length;

    auto operator()(const attention_call& call) const {
        return std::tuple_cat(std::tie(encoding), beside_encoding(call));
    }
    auto beside_encoding(const attention_call& call) const {
        return std::tuple_cat(std::tie(heed::causal, normaliser),
                              std::tuple(chosen_scale(call.scale, trained_length)));
    }
};

template <class Scalar, class Normaliser>
std::unique_ptr<attention<Scalar>> make_rotary_attention(const architecture& sizes,
                                                         heed::rope::frequencies frequencies,
                                                         const Normaliser& normaliser) {
    return make_attention_with<Scalar>(
        sizes,
        rotary_parts<Normaliser>{heed::rotary(std::move(frequencies)), normaliser, sizes.context});
}

template <class Scalar, class Normaliser>
std::unique_ptr<attention<Scalar>> make_rotary_attention(const architecture& sizes,
                                                         const Normaliser& normaliser) {
    return make_rotary_attention<Scalar>(
        sizes, heed::rope::plain({.dim = sizes.width / sizes.heads}), normaliser);
}

}  // namespace char_lm
