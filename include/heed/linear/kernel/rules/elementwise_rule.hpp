#pragma once

#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/part.hpp>

/// \file
/// Feature maps that are a function of each number: φ(x)_f = f(x_f).

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The rule of a function F, a small value with
///
///     vec<T> operator()(vec<T> x) const;
///     vec<T> slope(vec<T> x, vec<T> y) const;   // f'(x), y = f(x): for backward alone
///
/// or, where is_logit says so, log₂ f(x) and still f'(x).
template <class T, bool Backward, class F>
class elementwise_rule final : public feature_rule<T> {
  public:
    elementwise_rule(index dim, F f) : f_(std::move(f)) {
        this->feature_count = dim;
        if constexpr (requires { F::is_logit; }) this->keeps_reference = true;
    }

    void queries(contiguous_rows<T> x, row_places places, written_rows<T> to,
                 arena&) const override {
        map(x, places.count, to);
    }
    void keys(contiguous_rows<T> x, row_places places, written_rows<T> to, arena&) const override {
        map(x, places.count, to);
    }
    void queries_back(contiguous_rows<T> x, row_places places, contiguous_rows<T> features,
                      contiguous_rows<T> gradients, written_rows<T> to, arena&) const override {
        map_back(x, places.count, features, gradients, to);
    }
    void keys_back(contiguous_rows<T> x, row_places places, contiguous_rows<T> features,
                   contiguous_rows<T> gradients, written_rows<T> to, arena&) const override {
        map_back(x, places.count, features, gradients, to);
    }

  private:
    static constexpr index size = vec<T>::size;

    void map(contiguous_rows<T> x, index rows, written_rows<T> to) const {
        const index dim = this->feature_count, whole = dim / size * size;
        for (index r = 0; r < rows; ++r) {
            const T* from = x[r];
            T* out = to[r];
            for (index f = 0; f < whole; f += size) f_(vec<T>::load(from + f)).store(out + f);
            if (whole < dim) {
                const vec<T> y = f_(vec<T>::load_partial(from + whole, dim - whole));
                select(vec_mask<T>::first(dim - whole), y, vec<T>(T(0))).store(out + whole);
            }
        }
    }

    void map_back([[maybe_unused]] contiguous_rows<T> x, [[maybe_unused]] index rows,
                  [[maybe_unused]] contiguous_rows<T> features,
                  [[maybe_unused]] contiguous_rows<T> gradients,
                  [[maybe_unused]] written_rows<T> to) const {
        if constexpr (Backward) {
            const index dim = this->feature_count;
            for (index r = 0; r < rows; ++r) {
                for (index f = 0; f < dim; f += size) {
                    const index left = dim - f;
                    const vec<T> at = vec<T>::load_partial(x[r] + f, left);
                    const vec<T> y = vec<T>::load_partial(features[r] + f, left);
                    const vec<T> d = vec<T>::load_partial(gradients[r] + f, left);
                    (d * f_.slope(at, y)).store_partial(to[r] + f, left);
                }
            }
        }
    }

    F f_;
};

/// The base of such maps: Self has function<T>(), an F as above.
template <class Self>
struct elementwise_map : feature_map_base {
    index count(index dim) const { return dim; }

    template <class T, bool Backward>
    const feature_rule<T>& rule(arena& scratch, const linear_shape& shape) const {
        auto f = static_cast<const Self&>(*this).template function<T>();
        return scratch.make<elementwise_rule<T, Backward, decltype(f)>>(shape.dim, f);
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
