#pragma once

#include <cmath>
#include <limits>
#include <string_view>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/part.hpp>

/// \file
/// Double softmax: of queries over their features, of keys over the sequence.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T, bool Backward>
class double_softmax_rule final : public feature_rule<T> {
  public:
    explicit double_softmax_rule(index dim) {
        this->feature_count = dim;
        this->keeps_reference = this->divides_features = true;
    }

    void queries(contiguous_rows<T> x, row_places places, written_rows<T> to,
                 arena&) const override {
        for (index r = 0; r < places.count; ++r) soften(x[r], to[r]);
    }
    void keys(contiguous_rows<T> x, row_places places, written_rows<T> to, arena&) const override {
        const vec<T> unit(log2_e);
        for (index r = 0; r < places.count; ++r)
            for (index f = 0; f < this->feature_count; f += size)
                (vec<T>::load_partial(x[r] + f, this->feature_count - f) * unit).store(to[r] + f);
    }
    /// dx = p ⊙ (dp − p·dp)
    void queries_back(contiguous_rows<T> x, row_places places, contiguous_rows<T>,
                      contiguous_rows<T> gradients, written_rows<T> to,
                      arena& scratch) const override {
        if constexpr (Backward) {
            T* p = scratch.take<T>(padded<T>(this->feature_count));
            for (index r = 0; r < places.count; ++r) {
                soften(x[r], p);
                const vec<T> mean(dot<T>(p, gradients[r], this->feature_count));
                for (index f = 0; f < this->feature_count; f += size) {
                    const vec<T> d = vec<T>::load(gradients[r] + f) - mean;
                    (vec<T>::load(p + f) * d).store_partial(to[r] + f, this->feature_count - f);
                }
            }
        }
    }
    void keys_back(contiguous_rows<T>, row_places places, contiguous_rows<T> features,
                   contiguous_rows<T> gradients, written_rows<T> to, arena&) const override {
        if constexpr (Backward)
            for (index r = 0; r < places.count; ++r)
                for (index f = 0; f < this->feature_count; f += size)
                    (vec<T>::load(features[r] + f) * vec<T>::load(gradients[r] + f))
                        .store_partial(to[r] + f, this->feature_count - f);
    }

  private:
    static constexpr index size = vec<T>::size;
    static constexpr T log2_e = T(1.44269504088896340736);

    /// softmax of a row, zeros behind it.
    void soften(const T* x, T* p) const {
        const index dim = this->feature_count;
        constexpr T lowest = std::numeric_limits<T>::lowest();
        vec<T> most(lowest);
        for (index f = 0; f < dim; f += size)
            most = max(vec<T>::load_partial(x + f, dim - f, lowest), most);
        const vec<T> greatest(reduce_max(most));
        vec<T> sum(T(0));
        for (index f = 0; f < dim; f += size) {
            const vec<T> d = vec<T>::load_partial(x + f, dim - f) - greatest;
            const vec<T> y = select(vec_mask<T>::first(dim - f),
                                    exp2_fast(product(d, vec<T>(log2_e))), vec<T>(T(0)));
            sum += y;
            y.store(p + f);
        }
        const vec<T> inverse(T(1) / reduce_add(sum));
        for (index f = 0; f < dim; f += size) (vec<T>::load(p + f) * inverse).store(p + f);
    }
};

}  // namespace detail

/// The type of heed::double_softmax.
struct double_softmax_map : feature_map_base {
    static constexpr std::string_view name = "heed::double_softmax";
    static constexpr detail::encoded encoding = detail::encoded::none;
    static constexpr bool divides_features = true;

    /// The form that divides each row by Σ_f softmax(q_i)_f Σ_j e^{k_jf}: heed::exp_features.
    constexpr exp_feature_map by_row() const { return {}; }

    index count(index dim) const { return dim; }
    template <class T, bool Backward>
    const detail::feature_rule<T>& rule(arena& scratch, const linear_shape& shape) const {
        return scratch.make<detail::double_softmax_rule<T, Backward>>(shape.dim);
    }
};

/// o_i = Σ_f softmax(q_i)_f · (Σ_j e^{k_jf} v_j)/(Σ_j e^{k_jf}), the sums over the keys that i sees
/// (arXiv 1812.01243, kexue 7546): keys go through a softmax over the sequence, a feature at a
/// time, queries through one over their features. As many features as q and k have dimensions, each
/// relative to a reference of its own. Takes no denominator and no rotary encoding. Backward keeps
/// 2·queries·d numbers a thread.
///
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::double_softmax);
inline constexpr double_softmax_map double_softmax{};

}  // namespace heed::inline HEED_ARCHITECTURE
