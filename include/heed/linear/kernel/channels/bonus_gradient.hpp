#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/channels/chunk_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// What the present token's own pair adds to gradients, with w_i = dN_i·v_i:
///
///     dq_i += w_i u⊙k_i    dk_i += w_i u⊙q_i    dv_i += (q_i·(u⊙k_i)) dN_i    du = Σ_i w_i q_i⊙k_i

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
class bonus_gradient {
  public:
    bonus_gradient(const linear_program<T>& program, const tensor_view<double, 3>& gradient,
                   arena& scratch)
        : program_(program), gradient_(gradient), queries_{nullptr, padded<T>(program.shape.dim)} {
        if (!any()) return;
        bonus_ = scratch.take<T>(queries_.stride);
        queries_.data = scratch.take<T>(chunk_length * queries_.stride);
        sum_ = scratch.take<double>(queries_.stride);
    }

    bool any() const { return program_.has_bonus(); }
    /// By how many tokens rows read S before their own.
    index shift() const { return any() ? 1 : 0; }

    void begin(index head) {
        if (!any()) return;
        program_.read_bonus(head, bonus_);
        std::fill_n(sum_, static_cast<std::size_t>(queries_.stride), 0.0);
    }
    void finish(index batch, index head) const {
        for (index f = 0; f < program_.shape.dim && gradient_.data != nullptr; ++f)
            gradient_(batch, head, f) += sum_[f];
    }

    /// w of `count` rows dN and v.
    void weigh(contiguous_rows<T> outputs, contiguous_rows<T> values, index count) {
        for (index r = 0; r < count; ++r)
            weights_[r] = dot<T>(outputs[r], values[r], program_.shape.value_dim);
    }
    /// The same, and q as they are.
    void take(contiguous_rows<T> queries, contiguous_rows<T> outputs, contiguous_rows<T> values,
              index count) {
        weigh(outputs, values, count);
        for (index r = 0; r < count; ++r)
            std::copy_n(queries[r], static_cast<std::size_t>(queries_.stride), queries_[r]);
    }

    /// To dq, and du.
    void add_keys(contiguous_rows<T> queries, contiguous_rows<T> keys, index count,
                  written_rows<T> to) {
        for (index r = 0; r < count; ++r) {
            add_row(weights_[r], keys[r], to[r]);
            for (index f = 0; f < program_.shape.dim; ++f)
                sum_[f] += static_cast<double>(weights_[r]) * static_cast<double>(queries[r][f]) *
                           static_cast<double>(keys[r][f]);
        }
    }
    /// To dk.
    void add_queries(index count, written_rows<T> to) const {
        for (index r = 0; r < count; ++r) add_row(weights_[r], queries_[r], to[r]);
    }
    /// To dv.
    void add_outputs(contiguous_rows<T> keys, contiguous_rows<T> outputs, index count,
                     written_rows<T> to) const {
        for (index r = 0; r < count; ++r) {
            const vec<T> weight(dot_of_three(queries_[r], bonus_, keys[r], program_.shape.dim));
            for (index c = 0; c < to.stride; c += vec<T>::size)
                fma(weight, vec<T>::load(outputs[r] + c), vec<T>::load(to[r] + c)).store(to[r] + c);
        }
    }

  private:
    /// to += weight·(u⊙x)
    void add_row(T weight, const T* x, T* to) const {
        for (index f = 0; f < queries_.stride; f += vec<T>::size)
            fma(vec<T>(weight) * vec<T>::load(bonus_ + f), vec<T>::load(x + f),
                vec<T>::load(to + f))
                .store(to + f);
    }

    const linear_program<T>& program_;
    tensor_view<double, 3> gradient_;
    T* bonus_ = nullptr;
    written_rows<T> queries_;
    double* sum_ = nullptr;
    T weights_[chunk_length];
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
