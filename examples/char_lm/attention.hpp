#pragma once

#include <array>
#include <optional>
#include <variant>

#include <heed/heed.hpp>

#include "matrix.hpp"
#include "model.hpp"

/// \file
/// Causal multi-head attention with rotary positions: all of it is heed's. This is the only file
/// of the program that knows heed.

namespace char_lm {

/// What heed's backward needs of each row of a softmax.
template <class Scalar>
using attention_stats = heed::stats_for<Scalar>;

/// Attention of `heads` heads over rows that hold [q | k | v] of one token side by side.
class attention {
  public:
    attention(index heads, index head_dimension, index training_length, score_scale trained_with)
        : heads_(heads),
          dimension_(head_dimension),
          rotary_(heed::rotary(heed::rope::plain({.dim = head_dimension}))),
          log_n_(heed::log_n_scale(double(training_length))),
          log_n_after_training_(heed::log_n_scale_after_training(double(training_length))) {
        if (trained_with == score_scale::log_n) training_scale_ = log_n_;
    }

    /// out = attention(q, k, v), and what backward needs of each row.
    template <class Scalar, class Stats>
    void forward(const matrix<Scalar>& qkv, index sequences, matrix<Scalar>& out,
                 Stats& stats) const {
        const index length = qkv.rows() / sequences;
        out.resize(qkv.rows(), heads_ * dimension_);
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        heed::attention_forward_into(heads_of(out.data(), sequences, length), stats, q, k, v,
                                     heed::causal, rotary_, training_scale_);
    }

    /// d_qkv, interleaved as qkv is.
    template <class Scalar, class Stats>
    void backward(const matrix<Scalar>& d_out, const matrix<Scalar>& out, const Stats& stats,
                  const matrix<Scalar>& qkv, index sequences, matrix<Scalar>& d_qkv) const {
        const index length = qkv.rows() / sequences;
        d_qkv.resize(qkv.rows(), qkv.cols());
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        const auto [dq, dk, dv] = split(d_qkv.data(), sequences, length);
        heed::attention_backward_into(heed::into(dq, dk, dv),
                                      heads_of(d_out.data(), sequences, length),
                                      heads_of(out.data(), sequences, length), stats, q, k, v,
                                      heed::causal, rotary_, training_scale_);
    }

    /// Without anything kept for backward, and with any scale.
    template <class Scalar>
    void infer(const matrix<Scalar>& qkv, index sequences, score_scale scale,
               matrix<Scalar>& out) const {
        const index length = qkv.rows() / sequences;
        out.resize(qkv.rows(), heads_ * dimension_);
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        heed::attention_into(heads_of(out.data(), sequences, length), q, k, v, heed::causal,
                             rotary_, part_of(scale));
    }

    /// The newest token alone: its query against the first `length` rows of a cache of [q | k | v].
    /// heed places one query at the last of the keys, so the causal mask and the rotation fit.
    template <class Scalar>
    void decode(const matrix<Scalar>& cache, index length, score_scale scale,
                matrix<Scalar>& out) const {
        out.resize(1, heads_ * dimension_);
        const auto [old_q, k, v] = split(cache.data(), 1, length);
        const auto [q, new_k, new_v] = split(cache.row(length - 1).data(), 1, 1);
        heed::attention_into(heads_of(out.data(), 1, 1), q, k, v, heed::causal, rotary_,
                             part_of(scale));
    }

    /// What the softmax gives each pair of tokens of one sequence: [1, heads, length, length].
    template <class Scalar>
    [[nodiscard]] auto weights(const matrix<Scalar>& qkv, score_scale scale) const {
        const auto [q, k, v] = split(qkv.data(), 1, qkv.rows());
        return heed::attention_weights(q, k, heed::causal, rotary_, part_of(scale));
    }

  private:
    using rotary = decltype(heed::rotary(heed::rope::plain({.dim = index(2)})));

    // A choice at run time is a variant or an optional of parts: heed looks into it once a call.
    using any_scale = std::variant<heed::standard_scale_part, heed::log_n_scale_part,
                                   heed::log_n_scale_after_training_part>;

    /// q, k and v as [sequences, heads, length, dimension] over rows of [q | k | v], without a
    /// copy.
    template <class Scalar>
    [[nodiscard]] auto split(Scalar* qkv, index sequences, index length) const {
        const index width = heads_ * dimension_;
        const auto third = [&](index which) {
            return heed::view(qkv + which * width, {sequences, heads_, length, dimension_},
                              {length * 3 * width, dimension_, 3 * width, index(1)});
        };
        return std::array{third(0), third(1), third(2)};
    }

    /// [sequences, heads, length, dimension] over rows that hold all heads of one token.
    template <class Scalar>
    [[nodiscard]] auto heads_of(Scalar* rows, index sequences, index length) const {
        const index width = heads_ * dimension_;
        return heed::view(rows, {sequences, heads_, length, dimension_},
                          {length * width, dimension_, width, index(1)});
    }

    [[nodiscard]] any_scale part_of(score_scale scale) const {
        if (scale == score_scale::log_n) return log_n_;
        if (scale == score_scale::log_n_after_training) return log_n_after_training_;
        return heed::standard_scale;
    }

    index heads_;
    index dimension_;
    rotary rotary_;
    heed::log_n_scale_part log_n_;
    heed::log_n_scale_after_training_part log_n_after_training_;
    std::optional<heed::log_n_scale_part> training_scale_;  ///< the standard one if empty
};

}  // namespace char_lm
