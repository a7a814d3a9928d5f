#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/maps/random_features.hpp>

/// \file
/// FAVOR+ for the kernel: products of rows with random directions, by the microkernel.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What becomes of ω·x, x being scaled by d^−¼.
enum class favor_kind {
    positive,    ///< exp(ω·x − ‖x‖²/2)
    both_signs,  ///< that of ω and of −ω
    relu         ///< max(ω·x, 0) + ε
};

template <class T, bool Backward>
class favor_rule final : public feature_rule<T> {
  public:
    favor_rule(arena& scratch, const random_features& omega, favor_kind kind, double epsilon)
        : kind_(kind),
          dim_(omega.dim()),
          directions_(omega.count()),
          width_(padded<T>(omega.count())),
          depth_(padded<T>(omega.dim())) {
        const bool exponential = kind != favor_kind::relu;
        this->feature_count = kind == favor_kind::both_signs ? 2 * directions_ : directions_;
        this->keeps_reference = exponential;
        constexpr double log2_e = 1.44269504088896340736;
        const double d = static_cast<double>(dim_),
                     features = static_cast<double>(this->feature_count);
        const double unit = exponential ? log2_e : 1 / std::sqrt(features);
        const double scale = std::pow(d, -0.25);
        T* across = scratch.take<T>(dim_ * width_);
        std::fill_n(across, static_cast<std::size_t>(dim_ * width_), T(0));
        for (index f = 0; f < directions_; ++f)
            for (index c = 0; c < dim_; ++c)
                across[c * width_ + f] = static_cast<T>(unit * scale * omega(f, c));
        across_ = {across, width_};
        half_ = static_cast<T>(-log2_e / (2 * std::sqrt(d)));
        offset_ = static_cast<T>(exponential ? -0.5 * std::log2(features)
                                             : epsilon / std::sqrt(features));
        if constexpr (Backward) {
            T* along = scratch.take<T>(directions_ * depth_);
            std::fill_n(along, static_cast<std::size_t>(directions_ * depth_), T(0));
            for (index f = 0; f < directions_; ++f)
                for (index c = 0; c < dim_; ++c)
                    along[f * depth_ + c] =
                        static_cast<T>((exponential ? 1 : unit) * scale * omega(f, c));
            along_ = {along, depth_};
            square_ = static_cast<T>(-1 / std::sqrt(d));
        }
    }

    void queries(contiguous_rows<T> x, row_places places, written_rows<T> to,
                 arena& scratch) const override {
        map(x, places.count, to, scratch);
    }
    void keys(contiguous_rows<T> x, row_places places, written_rows<T> to,
              arena& scratch) const override {
        map(x, places.count, to, scratch);
    }
    void queries_back(contiguous_rows<T> x, row_places places, contiguous_rows<T> features,
                      contiguous_rows<T> gradients, written_rows<T> to,
                      arena& scratch) const override {
        map_back(x, places.count, features, gradients, to, scratch);
    }
    void keys_back(contiguous_rows<T> x, row_places places, contiguous_rows<T> features,
                   contiguous_rows<T> gradients, written_rows<T> to,
                   arena& scratch) const override {
        map_back(x, places.count, features, gradients, to, scratch);
    }

  private:
    static constexpr index size = vec<T>::size;

    void map(contiguous_rows<T> x, index count, written_rows<T> to, arena& scratch) const {
        const written_rows<T> rows = chunk_rows<T>::take(scratch, depth_);
        copy_padded(x, count, dim_, rows);
        T* addend = scratch.take<T>(chunk_length + spare_rows);
        for (index r = 0; r < count; ++r)
            addend[r] = kind_ == favor_kind::relu
                            ? offset_
                            : fma(half_, dot<T>(rows[r], rows[r], depth_), offset_);
        // Beside both signs the products are wanted by themselves.
        const written_rows<T> products =
            kind_ == favor_kind::both_signs ? chunk_rows<T>::take(scratch, width_) : to;
        const favor_kind kind = kind_;
        const vec<T> zero(T(0));
        multiply_columns(
            count, rows.data, rows.stride, fixed<1>{}, across_, width_, dim_,
            [=]<int Vectors>(index r, index column, const vec<T>* sums)
                __attribute__((always_inline)) {
                    if (r >= count) return;
                    T* at = products[r] + column;
                    const vec<T> plus(kind == favor_kind::both_signs ? T(0) : addend[r]);
                    unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
                        const vec<T> y = kind == favor_kind::relu ? max(zero, sums[c]) : sums[c];
                        (y + plus).store(at + c * size);
                    });
                });
        if (kind_ == favor_kind::both_signs) sign_both(products, count, addend, to);
        for (index r = 0; r < count; ++r)
            std::fill(to[r] + this->feature_count, to[r] + padded<T>(this->feature_count), T(0));
    }
    void sign_both(written_rows<T> products, index count, const T* addend,
                   written_rows<T> to) const {
        for (index r = 0; r < count; ++r) {
            for (index f = 0; f < directions_; f += size) {
                const vec<T> y = vec<T>::load(products[r] + f), plus(addend[r]);
                (plus + y).store_partial(to[r] + f, directions_ - f);
                (plus - y).store_partial(to[r] + directions_ + f, directions_ - f);
            }
        }
    }

    void map_back([[maybe_unused]] contiguous_rows<T> x, [[maybe_unused]] index count,
                  [[maybe_unused]] contiguous_rows<T> features,
                  [[maybe_unused]] contiguous_rows<T> gradients,
                  [[maybe_unused]] written_rows<T> to, [[maybe_unused]] arena& scratch) const {
        if constexpr (Backward) {
            const written_rows<T> weights = chunk_rows<T>::take(scratch, width_);
            T* sum = scratch.take<T>(chunk_length);
            for (index r = 0; r < count; ++r)
                sum[r] = weigh_row(features[r], gradients[r], weights[r]);
            const index dim = dim_;
            const T square = square_;
            const bool exponential = this->keeps_reference;
            multiply_columns(
                count, weights.data, weights.stride, fixed<1>{}, along_, depth_, directions_,
                [=]<int Vectors>(index r, index column, const vec<T>* sums) {
                    if (r >= count) return;
                    for (index c = 0; c < Vectors; ++c) {
                        const index at = column + c * size, left = dim - at;
                        vec<T> y = sums[c];
                        if (exponential)
                            y = fma(vec<T>(square * sum[r]),
                                    vec<T>::load_partial(x[r] + at, std::max<index>(0, left)), y);
                        if (left > 0) y.store_partial(to[r] + at, left);
                    }
                });
        }
    }
    /// What a row's directions are to be multiplied by; Σ of the gradients of its exponents.
    T weigh_row(const T* features, const T* gradients, T* weights) const {
        const vec<T> zero(T(0));
        vec<T> sum = zero;
        for (index f = 0; f < directions_; f += size) {
            const index left = directions_ - f;
            const vec<T> y = vec<T>::load_partial(features + f, left);
            const vec<T> d = vec<T>::load_partial(gradients + f, left);
            vec<T> weight = zero;
            if (kind_ == favor_kind::relu) {
                weight = select(y > vec<T>(offset_), d, zero);
            } else {
                weight = product(y, d);
                sum += weight;
            }
            if (kind_ == favor_kind::both_signs) {
                const vec<T> other =
                    product(vec<T>::load_partial(features + directions_ + f, left),
                            vec<T>::load_partial(gradients + directions_ + f, left));
                sum += other;
                weight = weight - other;
            }
            weight.store(weights + f);
        }
        return reduce_add(sum);
    }

    favor_kind kind_;
    index dim_, directions_, width_, depth_;
    contiguous_rows<T> across_{}, along_{};  ///< ω, a direction a column; a direction a row
    T half_ = T(0), offset_ = T(0), square_ = T(0);
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
