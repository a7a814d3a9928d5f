#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The gradient of decays a channel: a number a channel of what backward_decays.hpp has for a
/// token,
///
///     d log α_t = Σ_{s=t…e} (q_s⊙dq_s − k_s⊙dk_s) + Σ_c (S_e⊙dS_e)_c
///
/// of q and k as S has them, turned. Where α_t is 0 it is 0.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
class channel_gradient {
  public:
    /// `gradient` [batch, head of the decay, key, channel] is added to, or `alike` [batch, head of
    /// o, key] set to their sum; null: not wanted.
    channel_gradient(const linear_program<T>& program, const tensor_view<T, 4>& gradient,
                     const tensor_view<T, 3>& alike, arena& scratch)
        : program_(program),
          gradient_(gradient),
          alike_(alike),
          scratch_(scratch),
          width_(padded<T>(program.shape.dim)),
          behind_(learns() ? scratch.take<double>(width_) : nullptr) {}

    bool learns() const { return gradient_.data != nullptr || alike_.data != nullptr; }

    /// `goes_on`: S is not 0 before the first token.
    void begin(index batch, index head, const sequence_run& run, bool goes_on) {
        if (!learns()) return;
        batch_ = batch;
        head_ = head;
        run_ = run;
        goes_on_ = goes_on;
        differences_ = {scratch_.take<T>(run.keys() * width_), width_};
        std::fill_n(differences_.data, static_cast<std::size_t>(run.keys() * width_), T(0));
        const index segments = std::max<index>(0, run.keys() - 1) / kept_tokens;
        kept_ = scratch_.take<T>(segments * program_.shape.value_dim * width_);
        std::fill_n(behind_, static_cast<std::size_t>(width_), 0.0);
    }

    /// Forth: Sᵀ before key p, if it is one that is kept.
    void keep(index p, contiguous_rows<T> turned_sum) const {
        if (!learns() || p == 0 || p % kept_tokens != 0) return;
        for (index r = 0; r < program_.shape.value_dim; ++r)
            std::copy_n(turned_sum[r], static_cast<std::size_t>(width_), kept_at(p)[r]);
    }
    /// x⊙dx of rows that read S behind the keys p … (those behind all keys, behind the last), and
    /// −x⊙dx of those that write it.
    void add(index p, index count, contiguous_rows<T> x, contiguous_rows<T> dx) const {
        add_times(T(1), p, count, x, dx);
    }
    /// The same of rows that read S behind the key before their own, by a bonus or an update. The
    /// first one behind an S that is kept has its gradient there.
    void add_before(index p, index count, contiguous_rows<T> x, contiguous_rows<T> dx) const {
        for (index r = 0; r < count; ++r)
            if ((p + r) % kept_tokens != 0 || p + r >= run_.keys())
                add_times(T(1), std::min(p + r, run_.keys()) - 1, 1, {x[r], x.stride},
                          {dx[r], dx.stride});
    }
    void subtract(index p, index count, contiguous_rows<T> x, contiguous_rows<T> dx) const {
        add_times(T(-1), p, count, x, dx);
    }
    /// Back: the gradient of Sᵀ behind the keys up to `end`, before theirs are taken.
    void take_sum(index end, contiguous_rows<T> d_turned_sum) const {
        if (!learns() || end == run_.keys() || end % kept_tokens != 0) return;
        std::fill_n(behind_, static_cast<std::size_t>(width_), 0.0);
        for (index r = 0; r < program_.shape.value_dim; ++r)
            for (index f = 0; f < width_; ++f)
                behind_[f] += static_cast<double>(kept_at(end)[r][f]) *
                              static_cast<double>(d_turned_sum[r][f]);
    }
    /// The same where S is at hand, channel by channel.
    void set_sum(index channel, double product) const { behind_[channel] = product; }
    /// Back: keys p …, of these log decays, of which all rows have been added.
    void finish(index p, index count, contiguous_rows<T> logs) const {
        if (!learns()) return;
        const index steps = program_.steps();
        for (index r = count; r-- > 0;) {
            if (p + r == 0 && !goes_on_) return;  // nothing is before it
            const index place = run_.key_first + p + r;
            const bool decays = place % steps == 0;  // at its token's first step
            double sum = 0;
            for (index f = 0; f < program_.shape.dim; ++f) {
                behind_[f] += static_cast<double>(differences_[p + r][f]);
                if (begins_anew(logs[r][f])) behind_[f] = 0;
                sum += behind_[f];
                if (gradient_.data != nullptr && decays)
                    gradient_(batch_, program_.decay_head(head_), place / steps, f) +=
                        static_cast<T>(behind_[f]);
            }
            if (alike_.data != nullptr) alike_(batch_, head_, place) = static_cast<T>(sum);
        }
    }

  private:
    void add_times(T sign, index p, index count, contiguous_rows<T> x,
                   contiguous_rows<T> dx) const {
        if (!learns() || run_.keys() == 0) return;
        const vec<T> by(sign);
        for (index r = 0; r < count; ++r) {
            T* to = differences_[std::min(p + r, run_.keys() - 1)];
            for (index f = 0; f < width_; f += vec<T>::size)
                fma(by * vec<T>::load(x[r] + f), vec<T>::load(dx[r] + f), vec<T>::load(to + f))
                    .store(to + f);
        }
    }
    written_rows<T> kept_at(index p) const {
        return {kept_ + (p / kept_tokens - 1) * program_.shape.value_dim * width_, width_};
    }

    const linear_program<T>& program_;
    tensor_view<T, 4> gradient_;
    tensor_view<T, 3> alike_;
    arena& scratch_;
    index width_;
    double* behind_;  ///< what of the gradient the tokens behind make

    index batch_ = 0, head_ = 0;
    sequence_run run_{};
    bool goes_on_ = false;
    written_rows<T> differences_{};  ///< q⊙dq − k⊙dk of each token
    T* kept_ = nullptr;              ///< Sᵀ of each token that is kept
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
