#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <tuple>
#include <utility>

#include <Eigen/Core>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/split_heads.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>

#include "attention.hpp"

/// \file
/// The model's attention where its cost is linear in the sequence: all of it is heed's, but for
/// what makes gates of columns. linear_kinds.hpp has the kinds.

namespace char_lm {

/// A gate: what stands in its columns becomes the numbers that a part has for a token and head, one
/// or, where it is per_channel, one for each dimension.
/// log α = log σ(x + 5): like the forget gate of an LSTM it begins almost open, α = 0.993.
struct fading_gate {
    static constexpr bool per_channel = false;

    template <class Scalar>
    static Scalar value(Scalar x) {
        const Scalar z = x + 5;
        return std::min(z, Scalar(0)) - std::log1p(std::exp(-std::abs(z)));
    }
    /// The slope, from the value.
    template <class Scalar>
    static Scalar slope(Scalar y) {
        return -std::expm1(y);
    }
};

/// The same for each channel.
struct fading_channels : fading_gate {
    static constexpr bool per_channel = true;
};

/// β = σ(x).
struct writing_gate {
    static constexpr bool per_channel = false;

    template <class Scalar>
    static Scalar value(Scalar x) {
        return 1 / (1 + std::exp(-x));
    }
    template <class Scalar>
    static Scalar slope(Scalar y) {
        return y * (1 - y);
    }
};

/// A kind has
///
///     using gates = std::tuple<…>;              // which it asks for
///     static constexpr bool divides;            // whether o is a mean of values; if not, each
///                                               // head's o is given the length √d afterwards
///     index features(index dim) const;          // of a head
///     auto operator()(gate…) const;             // the parts of a call: gates as [batch, heads,
///                                               // tokens] or [batch, heads, tokens, dim],
///                                               // those to be learned marked so
template <class Scalar, class Kind>
class linear_attention_with final : public attention<Scalar> {
  public:
    linear_attention_with(const architecture& sizes, Kind kind)
        : heads_(sizes.heads), dimension_(sizes.width / sizes.heads), kind_(std::move(kind)) {}

    [[nodiscard]] index gate_columns() const override { return first_columns().back(); }

    [[nodiscard]] index state_size(index) const override {
        return heads_ * kind_.features(dimension_) * (dimension_ + (Kind::divides ? 1 : 0));
    }

    [[nodiscard]] std::unique_ptr<attention_stats> make_stats() const override {
        return std::make_unique<stats_of>();
    }

    void forward(const matrix<Scalar>& qkv, index sequences, index, matrix<Scalar>& out,
                 attention_stats& stats) const override {
        auto& kept = static_cast<stats_of&>(stats);
        matrix<Scalar>& o = Kind::divides ? out : kept.o;
        attend(qkv, sequences, kept.gates, o, [&](const auto& to, const auto&... argument) {
            heed::linear_attention_forward_into(to, kept.rows, argument...);
        });
        if (Kind::divides) return;
        out = o;
        kept.inverse_rms = normalise(out);
    }

    void backward(const matrix<Scalar>& d_out, const matrix<Scalar>& out,
                  const attention_stats& stats, const matrix<Scalar>& qkv, index sequences,
                  matrix<Scalar>& d_qkv) const override {
        const auto& kept = static_cast<const stats_of&>(stats);
        const index length = qkv.rows() / sequences;
        const matrix<Scalar> before_norm =
            Kind::divides ? matrix<Scalar>() : normalise_backward(d_out, out, kept.inverse_rms);
        const matrix<Scalar>& d_o = Kind::divides ? d_out : before_norm;
        const matrix<Scalar>& o = Kind::divides ? out : kept.o;
        matrix<Scalar> d_gates(qkv.rows(), gate_columns());
        d_qkv.resize(qkv.rows(), qkv.cols());
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        const auto [dq, dk, dv] = split(d_qkv.data(), sequences, length);
        const auto of_gates = each_gate(d_gates.data(), sequences, length);
        const auto gradients =
            std::apply([&dq = dq, &dk = dk, &dv = dv](
                           const auto&... of_gate) { return heed::into(dq, dk, dv, of_gate...); },
                       of_gates);
        const auto d_of_heads = heads_of(d_o.data(), sequences, length);
        const auto of_heads = heads_of(o.data(), sequences, length);
        with_parts(kept.gates, sequences, [&, &q = q, &k = k, &v = v](const auto&... part) {
            heed::linear_attention_backward_into(gradients, d_of_heads, of_heads, kept.rows, q, k,
                                                 v, part...);
        });
        close_gates(kept.gates, d_gates, d_qkv);
    }

    void infer(const matrix<Scalar>& qkv, index sequences, score_scale,
               matrix<Scalar>& out) const override {
        matrix<Scalar> gates;
        attend(qkv, sequences, gates, out, [](const auto& to, const auto&... argument) {
            heed::linear_attention_into(to, argument...);
        });
        if (!Kind::divides) normalise(out);
    }

    /// The state never grows: it needs no capacity.
    [[nodiscard]] std::unique_ptr<attention_cache> make_cache(index) const override {
        return std::make_unique<cache>();
    }

    void decode(const matrix<Scalar>& qkv, attention_cache& seen, score_scale,
                matrix<Scalar>& out) const override {
        auto& state = static_cast<cache&>(seen).state;
        matrix<Scalar> gates;
        attend(qkv, 1, gates, out, [&](const auto& to, const auto&... argument) {
            heed::linear_attention_into(to, argument..., heed::carry(state));
        });
        if (!Kind::divides) normalise(out);
    }

    /// o is linear in v: where v is the identity, it is the matrix itself.
    [[nodiscard]] matrix<Scalar> weights(const matrix<Scalar>& qkv, index head,
                                         score_scale) const override {
        const index length = qkv.rows();
        const matrix<Scalar> identity = matrix<Scalar>::Identity(length, length);
        matrix<Scalar> gates, all(heads_ * length, length);
        open_gates(qkv, gates);
        const auto [q, k, v] = split(qkv.data(), 1, length);
        const auto values = heed::view(identity.data(), {index(1), index(1), length, length});
        const auto to = heed::view(all.data(), {index(1), heads_, length, length});
        with_parts(gates, 1, [&, &q = q, &k = k](const auto&... part) {
            heed::linear_attention_into(to, q, k, values, part...);
        });
        return all.middleRows(head * length, length);
    }

    [[nodiscard]] matrix<Scalar> entropies(const matrix<Scalar>&, score_scale) const override {
        throw std::logic_error("linear attention has no distributions, and no entropies of them");
    }

  private:
    using gates_of_kind = typename Kind::gates;
    static constexpr std::size_t gate_count = std::tuple_size_v<gates_of_kind>;
    using each_of_them = std::make_index_sequence<gate_count>;
    template <std::size_t Gate>
    using gate_at = std::tuple_element_t<Gate, gates_of_kind>;

    struct cache final : attention_cache {
        void clear() override { state.clear(); }

        heed::linear_state<Scalar> state;
    };

    struct stats_of final : attention_stats {
        heed::linear_stats<Scalar> rows;
        matrix<Scalar> gates;        ///< [tokens, gates · heads], as parts have them
        matrix<Scalar> o;            ///< before its heads are normalised
        column<Scalar> inverse_rms;  ///< of each token and head
    };

    /// call(o, q, k, v, parts…), with `gates` opened.
    template <class Call>
    void attend(const matrix<Scalar>& qkv, index sequences, matrix<Scalar>& gates,
                matrix<Scalar>& o, const Call& call) const {
        const index length = qkv.rows() / sequences;
        open_gates(qkv, gates);
        o.resize(qkv.rows(), heads_ * dimension_);
        const auto [q, k, v] = split(qkv.data(), sequences, length);
        with_parts(gates, sequences, [&, &q = q, &k = k, &v = v](const auto&... part) {
            call(heads_of(o.data(), sequences, length), q, k, v, part...);
        });
    }

    /// use(parts of the call…), which see the gates where they lie.
    template <class Use>
    void with_parts(const matrix<Scalar>& gates, index sequences, const Use& use) const {
        const auto views = each_gate(gates.data(), sequences, gates.rows() / sequences);
        std::apply(use, std::apply(kind_, views));
    }

    template <class Gate>
    [[nodiscard]] index columns_of() const {
        return heads_ * (Gate::per_channel ? dimension_ : 1);
    }

    /// The first column of each gate, and the one behind the last.
    [[nodiscard]] auto first_columns() const {
        std::array<index, gate_count + 1> first{};
        [&]<std::size_t... Gate>(std::index_sequence<Gate...>) {
            ((first[Gate + 1] = first[Gate] + columns_of<gate_at<Gate>>()), ...);
        }
        (each_of_them());
        return first;
    }

    /// A view [sequences, heads, length] or [sequences, heads, length, dimension] for each gate.
    template <class Number>
    [[nodiscard]] auto each_gate(Number* gates, index sequences, index length) const {
        const auto first = first_columns();
        return [&]<std::size_t... Gate>(std::index_sequence<Gate...>) {
            return std::tuple(
                gate_view<gate_at<Gate>>(gates + first[Gate], first.back(), sequences, length)...);
        }
        (each_of_them());
    }
    template <class Gate, class Number>
    [[nodiscard]] auto gate_view(Number* gate, index columns, index sequences, index length) const {
        if constexpr (Gate::per_channel)
            return heed::view(gate, {sequences, heads_, length, dimension_},
                              {length * columns, dimension_, columns, index(1)});
        else
            return heed::view(gate, {sequences, heads_, length},
                              {length * columns, index(1), columns});
    }

    /// f(gate, its first column, their number) of each.
    template <class F>
    void for_each_gate(const F& f) const {
        const auto first = first_columns();
        [&]<std::size_t... Gate>(std::index_sequence<Gate...>) {
            (f(gate_at<Gate>(), first[Gate], columns_of<gate_at<Gate>>()), ...);
        }
        (each_of_them());
    }

    void open_gates(const matrix<Scalar>& qkv, matrix<Scalar>& gates) const {
        gates = qkv.rightCols(gate_columns());
        for_each_gate([&]<class Gate>(Gate, index first, index count) {
            auto columns = gates.middleCols(first, count);
            columns = columns.unaryExpr([](Scalar x) { return Gate::value(x); }).eval();
        });
    }

    /// The gradients of gates become those of the columns that they were made of.
    void close_gates(const matrix<Scalar>& gates, const matrix<Scalar>& d_gates,
                     matrix<Scalar>& d_qkv) const {
        for_each_gate([&]<class Gate>(Gate, index first, index count) {
            const auto slopes =
                gates.middleCols(first, count).unaryExpr([](Scalar y) { return Gate::slope(y); });
            d_qkv.middleCols(3 * heads_ * dimension_ + first, count) =
                d_gates.middleCols(first, count).cwiseProduct(slopes);
        });
    }

    using head_rows = Eigen::Map<matrix<Scalar>>;
    using constant_head_rows = Eigen::Map<const matrix<Scalar>>;

    /// Each head of each token to the length √d; returns 1/√(mean o² + ε), by which it was
    /// multiplied. What is no mean grows with what it sums.
    column<Scalar> normalise(matrix<Scalar>& o) const {
        const auto epsilon = Scalar(1e-5);
        head_rows rows(o.data(), o.rows() * heads_, dimension_);
        column<Scalar> r =
            (rows.rowwise().squaredNorm().array() / Scalar(dimension_) + epsilon).rsqrt();
        rows.array().colwise() *= r.array();
        return r;
    }
    /// With y = r·o: do = r·(dy − y·mean(dy ⊙ y)).
    matrix<Scalar> normalise_backward(const matrix<Scalar>& dy, const matrix<Scalar>& y,
                                      const column<Scalar>& r) const {
        matrix<Scalar> result = dy;
        head_rows d_o(result.data(), r.size(), dimension_);
        const constant_head_rows rows(y.data(), r.size(), dimension_);
        const column<Scalar> mean = d_o.cwiseProduct(rows).rowwise().sum() / Scalar(dimension_);
        d_o.array() -= rows.array().colwise() * mean.array();
        d_o.array().colwise() *= r.array();
        return result;
    }

    /// q, k and v as [sequences, heads, length, dimension] over rows of [q | k | v | gates].
    template <class Number>
    [[nodiscard]] auto split(Number* qkv, index sequences, index length) const {
        const index width = heads_ * dimension_;
        const auto rows = heed::view(qkv, {sequences, length, 3 * width + gate_columns()});
        return std::array{heed::split_heads(rows, heads_, 0, dimension_),
                          heed::split_heads(rows, heads_, width, dimension_),
                          heed::split_heads(rows, heads_, 2 * width, dimension_)};
    }

    template <class Number>
    [[nodiscard]] auto heads_of(Number* rows, index sequences, index length) const {
        return heed::split_heads(heed::view(rows, {sequences, length, heads_ * dimension_}),
                                 heads_);
    }

    index heads_;
    index dimension_;
    Kind kind_;
};

template <class Scalar, class Kind>
std::unique_ptr<attention<Scalar>> make_linear_attention(const architecture& sizes, Kind kind) {
    return std::make_unique<linear_attention_with<Scalar, Kind>>(sizes, std::move(kind));
}

}  // namespace char_lm
