#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/detail/distance_bias.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/rope/detail/angles.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// GAU's rotary bias: the products of two rotated vectors, which depend on the distance alone.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// aᵀR_{j−i}b = Σ_t C_t cos(j−i)θ_t + S_t sin(j−i)θ_t, pair t of a and b being (a_x, a_y) and
/// (b_x, b_y), C_t = a_x b_x + a_y b_y and S_t = a_y b_x − a_x b_y.
class rotary_distance_bias {
  public:
    static constexpr bool is_constant_beyond = false;

    template <class A, class B>
    rotary_distance_bias(const tensor_view<A, 2>& a, const tensor_view<B, 2>& b,
                         const rope::frequencies& rope)
        : rows_(a.extents[0]), dim_(rope.dim()), angular_(rope.angular()), layout_(rope.layout()) {
        check_view("a", a);
        check_view("b", b);
        require_shape(a.extents == b.extents, "heed::rotary_bias: a has shape ", a.extents,
                      " and b has shape ", b.extents, ", but they must be the same");
        require_shape(a.extents[1] == dim_, "heed::rotary_bias: a and b have shape ", a.extents,
                      ", but the frequencies turn ", dim_, " dimensions");
        // Whole vectors of angles; those beyond the pairs are of no weight.
        padded_ = round_up(pairs(), size);
        angular_.resize(static_cast<std::size_t>(padded_));
        cosine_.resize(static_cast<std::size_t>(rows_ * padded_));
        sine_.resize(static_cast<std::size_t>(rows_ * padded_));
        for (index row = 0; row < rows_; ++row) {
            for (index c = 0; c < dim_; ++c) {
                a_.push_back(static_cast<double>(a(row, c)));
                b_.push_back(static_cast<double>(b(row, c)));
            }
            for (index t = 0; t < pairs(); ++t) {
                const auto [ax, ay] = pair(a_, row, t);
                const auto [bx, by] = pair(b_, row, t);
                cosine_[static_cast<std::size_t>(row * padded_ + t)] = ax * bx + ay * by;
                sine_[static_cast<std::size_t>(row * padded_ + t)] = ay * bx - ax * by;
            }
        }
    }

    index rows() const { return rows_; }
    double value(index row, double distance) const {
        const auto [even, odd] = sum(row, distance);
        return even + odd;
    }
    void check(const attention_shape& shape) const {
        require_shape(rows_ == 1 || rows_ == shape.heads, "heed::rotary_bias: a and b have ", rows_,
                      " rows, but must have 1 or ", shape.heads, ", one for each query head");
    }
    void fill(index reach, double* table) const {
        for (index row = 0; row < rows_; ++row, table += 2 * reach + 1) {
            for (index o = 0; o <= reach; ++o) {
                const auto [even, odd] = sum(row, static_cast<double>(o));
                table[reach + o] = even + odd;
                table[reach - o] = even - odd;
            }
        }
    }

    /// The sums behind the gradients: dC_t and dS_t, one after the other for each pair.
    index parameters() const { return 2 * pairs(); }
    template <class F>
    void add(index, double distance, double g, index first, index count, F&& to) const {
        std::array<double, static_cast<std::size_t>(size)> cosine, sine;
        for (index t = first / 2; t < (first + count) / 2; t += size) {
            const auto turn = turn_of(distance, t);
            turn.cosine.store(cosine.data());
            turn.sine.store(sine.data());
            const index last = std::min(size, (first + count) / 2 - t);
            for (index l = 0; l < last; ++l) {
                to(2 * (t + l), g * cosine[static_cast<std::size_t>(l)]);
                to(2 * (t + l) + 1, g * sine[static_cast<std::size_t>(l)]);
            }
        }
    }
    template <class T, class View>
    void store(View gradient, index row, index first, index count, const double* sums) const {
        for (index t = first / 2; t < (first + count) / 2; ++t, sums += 2) {
            const double dc = sums[0], ds = sums[1];
            const auto [ax, ay] = pair(a_, row, t);
            const auto [bx, by] = pair(b_, row, t);
            const auto [x, y] = place(t);
            gradient(0, row, x) = static_cast<T>(bx * dc - by * ds);
            gradient(0, row, y) = static_cast<T>(by * dc + bx * ds);
            gradient(1, row, x) = static_cast<T>(ax * dc + ay * ds);
            gradient(1, row, y) = static_cast<T>(ay * dc - ax * ds);
        }
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        Eigen::Tensor<T, 3, Eigen::RowMajor> gradient(2, rows_, dim_);
        gradient.setZero();
        return gradient;
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        constexpr bool three_axes = rank_of<View> == 3;
        static_assert(three_axes, "heed: the gradient of a rotary bias has three axes");
        if constexpr (three_axes) {
            check_view("the gradient of heed::rotary_bias", gradient);
            const std::array<index, 3> extents{2, rows_, dim_};
            require_shape(gradient.extents == extents,
                          "the gradient of heed::rotary_bias has "
                          "shape ",
                          gradient.extents, ", but must have ", extents);
        }
    }

  private:
    static constexpr index size = vec<double>::size;

    index pairs() const { return dim_ / 2; }
    std::array<index, 2> place(index t) const {
        if (layout_ == rope::halves) return {t, t + pairs()};
        return {2 * t, 2 * t + 1};
    }
    std::array<double, 2> pair(const std::vector<double>& x, index row, index t) const {
        const auto [first, second] = place(t);
        return {x[static_cast<std::size_t>(row * dim_ + first)],
                x[static_cast<std::size_t>(row * dim_ + second)]};
    }
    cosine_sine<double> turn_of(double distance, index t) const {
        return cosine_and_sine<double>(
            {vec<double>(distance) * vec<double>::load(angular_.data() + t)});
    }
    /// Σ_t C_t cos, and Σ_t S_t sin.
    std::array<double, 2> sum(index row, double distance) const {
        vec<double> even(0.0), odd(0.0);
        for (index t = 0; t < padded_; t += size) {
            const auto turn = turn_of(distance, t);
            even = fma(vec<double>::load(cosine_.data() + row * padded_ + t), turn.cosine, even);
            odd = fma(vec<double>::load(sine_.data() + row * padded_ + t), turn.sine, odd);
        }
        return {reduce_add(even), reduce_add(odd)};
    }

    index rows_, dim_, padded_ = 0;
    std::vector<double> angular_, a_, b_, cosine_, sine_;
    rope::pair_layout layout_;
};

}  // namespace detail

/// s + aᵀR_{j−i}b, GAU's rotary bias (arXiv 2202.10447, kexue 9577): R_r turns pair t by r·θ_t. a
/// and b are [heads, r], r the dimensions that the frequencies turn, or [r] as a vector or one row,
/// which serves all heads; they are read when the part is made. Distances up to `length` come from
/// a table, those beyond are computed one by one, slowly. It can be learned: the gradient is [2,
/// heads or 1, r], da and db.
///
///     auto o = heed::attention(q, k, v, heed::rotary_bias(a, b, rope, n));
///
/// shape_error if a and b do not fit each other or the frequencies; the call throws shape_error if
/// they have neither one row nor one a head. The frequencies' attention factor takes no part.
template <tensor_like A, tensor_like B, std::integral Length>
requires((rank_of<A> == 1 || rank_of<A> == 2) &&
         (rank_of<B> == 1 || rank_of<B> == 2)) auto rotary_bias(const A& a, const B& b,
                                                                const rope::frequencies& rope,
                                                                Length length) {
    const index reach = detail::table_length("heed::rotary_bias", length);
    const auto rows = [&]<class X>(const X& held) {
        const auto all = held.view();
        using view = tensor_view<const std::remove_cvref_t<decltype(*all.data)>, 2>;
        if constexpr (all.extents.size() == 1)
            return view{all.data, {1, all.extents[0]}, {0, all.strides[0]}};
        else if (all.extents[1] == 1 && rope.dim() != 1)  // a column
            return view{all.data, {1, all.extents[0]}, {0, all.strides[0]}};
        else
            return view{all.data, all.extents, all.strides};
    };
    const auto held_a = detail::evaluate(a);
    const auto held_b = detail::evaluate(b);
    return detail::distance_bias(detail::rotary_distance_bias(rows(held_a), rows(held_b), rope),
                                 reach);
}

}  // namespace heed::inline HEED_ARCHITECTURE
