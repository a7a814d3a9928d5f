#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include <heed/heed.hpp>

#include "attention.hpp"

/// \file
/// The model's attention, with any normaliser: all of it is heed's. One program file for each
/// normaliser includes this, so that they compile side by side.

namespace char_lm {

/// How scores are scaled, chosen at run time: a scale of one's own.
class chosen_scale {
  public:
    using role = heed::role::scale;
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

template <class Scalar, class Normaliser>
class attention_with final : public attention<Scalar> {
  public:
    attention_with(const architecture& sizes, Normaliser normaliser)
        : heads_(sizes.heads),
          dimension_(sizes.width / sizes.heads),
          length_(sizes.context),
          trained_with_(sizes.scale, sizes.context),
          rotary_(heed::rotary(heed::rope::plain({.dim = dimension_}))),
          normaliser_(normaliser) {}

    [[nodiscard]] std::unique_ptr<attention_stats> make_stats() const override {
        return std::make_unique<stats_of>();
    }

    void forward(const matrix<Scalar>& qkv, index sequences, matrix<Scalar>& out,
                 attention_stats& stats) const override {
        const index length = qkv.rows() / sequences;
        out.resize(qkv.rows(), heads_ * dimension_);
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        heed::attention_forward_into(heads_of(out.data(), sequences, length),
                                     static_cast<stats_of&>(stats).rows, q, k, v, heed::causal,
                                     rotary_, trained_with_, normaliser_);
    }

    void backward(const matrix<Scalar>& d_out, const matrix<Scalar>& out,
                  const attention_stats& stats, const matrix<Scalar>& qkv, index sequences,
                  matrix<Scalar>& d_qkv) const override {
        const index length = qkv.rows() / sequences;
        d_qkv.resize(qkv.rows(), qkv.cols());
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        const auto [dq, dk, dv] = split(d_qkv.data(), sequences, length);
        heed::attention_backward_into(
            heed::into(dq, dk, dv), heads_of(d_out.data(), sequences, length),
            heads_of(out.data(), sequences, length), static_cast<const stats_of&>(stats).rows, q, k,
            v, heed::causal, rotary_, trained_with_, normaliser_);
    }

    void infer(const matrix<Scalar>& qkv, index sequences, score_scale scale,
               matrix<Scalar>& out) const override {
        const index length = qkv.rows() / sequences;
        out.resize(qkv.rows(), heads_ * dimension_);
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        attend(heads_of(out.data(), sequences, length), q, k, v, scale);
    }

    /// heed places one query at the last of the keys, so the causal mask and the rotation fit.
    void decode(const matrix<Scalar>& cache, index length, score_scale scale,
                matrix<Scalar>& out) const override {
        out.resize(1, heads_ * dimension_);
        const auto [old_q, k, v] = split(cache.data(), 1, length);
        const auto [q, new_k, new_v] = split(cache.row(length - 1).data(), 1, 1);
        attend(heads_of(out.data(), 1, 1), q, k, v, scale);
    }

    [[nodiscard]] matrix<Scalar> weights(const matrix<Scalar>& qkv, index head,
                                         score_scale scale) const override {
        const auto [q, k, v] = split(qkv.data(), 1, qkv.rows());
        const auto all = heed::attention_weights(q, k, heed::causal, rotary_,
                                                 chosen_scale(scale, length_), normaliser_);
        matrix<Scalar> one(qkv.rows(), qkv.rows());
        for (index i = 0; i < one.rows(); ++i)
            for (index j = 0; j < one.cols(); ++j) one(i, j) = all(0, head, i, j);
        return one;
    }

  private:
    using rotary = decltype(heed::rotary(heed::rope::plain({.dim = index(2)})));

    struct stats_of final : attention_stats {
        heed::stats_for<Scalar, Normaliser> rows;
    };

    template <class Out, class View>
    void attend(Out&& out, const View& q, const View& k, const View& v, score_scale scale) const {
        heed::attention_into(out, q, k, v, heed::causal, rotary_, chosen_scale(scale, length_),
                             normaliser_);
    }

    /// q, k and v as [sequences, heads, length, dimension] over rows of [q | k | v], without a
    /// copy.
    template <class Number>
    [[nodiscard]] auto split(Number* qkv, index sequences, index length) const {
        const index width = heads_ * dimension_;
        const auto third = [&](index which) {
            return heed::view(qkv + which * width, {sequences, heads_, length, dimension_},
                              {length * 3 * width, dimension_, 3 * width, index(1)});
        };
        return std::array{third(0), third(1), third(2)};
    }

    /// [sequences, heads, length, dimension] over rows that hold all heads of one token.
    template <class Number>
    [[nodiscard]] auto heads_of(Number* rows, index sequences, index length) const {
        const index width = heads_ * dimension_;
        return heed::view(rows, {sequences, heads_, length, dimension_},
                          {length * width, dimension_, width, index(1)});
    }

    index heads_;
    index dimension_;
    index length_;
    chosen_scale trained_with_;
    rotary rotary_;
    Normaliser normaliser_;
};

}  // namespace char_lm
