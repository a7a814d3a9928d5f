#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The state at both ends of a sequence on the way back: what the call went on from, the gradient
/// that reaches the state behind it, and that of the state before it, D behind the first token.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Gradients of S [batch, head of the state, d_v, feature] and of Z [batch, head of the state,
/// feature]; null where they are not given, or not wanted.
template <class T>
struct state_gradients {
    tensor_view<const T, 4> d_last{};
    tensor_view<const T, 3> d_last_total{};
    tensor_view<T, 4> d_first{};
    tensor_view<T, 3> d_first_total{};
};

/// Which ends of its sequence a run has.
struct run_ends {
    bool first = false, last = false;
};

/// The ends of a run of one head of o. Several heads may read one head of the state: the gradient
/// of the last state is the first one's, that of the first state is their sum.
template <class T>
class state_ends {
  public:
    state_ends(const linear_program<T>& program, const state_gradients<T>& of)
        : program_(program), of_(of) {}

    void begin(index batch, index head, const sequence_run& run, run_ends ends) {
        batch_ = batch;
        head_ = head / std::max<index>(1, program_.heads_a_state());
        is_first_head_ = head % std::max<index>(1, program_.heads_a_state()) == 0;
        ends_ = ends;
        forgets_ = program_.decays() && run.keys() > 0 &&
                   begins_anew(*program_.log_decay(batch, head, run.key_first));
    }

    /// Whether the run goes on from a state.
    bool goes_on() const { return ends_.first && !forgets_ && program_.state.numbers != nullptr; }
    /// That state, all of its keys in S and Z, in scratch memory.
    head_sums<T> before(arena& scratch) const {
        const head_layout<T> layout = program_.layout();
        const index which = batch_ * program_.shape.state_heads() + head_;
        const head_sums<T> sums = layout.take(scratch);
        // What a head holds is one piece of memory that begins with S.
        std::copy_n(program_.state.numbers + which * layout.size(),
                    static_cast<std::size_t>(layout.size()), sums.s.sum.data);
        *sums.progress = program_.state.progress[which];
        if (program_.decays_channels())
            fold_channels(sums, layout.features, layout.columns);
        else if (program_.decays())
            fold_decayed_chunk(sums, layout.features, layout.columns);
        else
            fold_chunk(sums, layout.features, layout.columns);
        return sums;
    }

    /// Whether a gradient reaches the state behind the run.
    bool has_last() const { return ends_.last && is_first_head_ && of_.d_last.data != nullptr; }
    /// D behind the run, and the gradient of Z, of features relative to these references.
    void put_last(const head_sums<T>& d, const T* reference) const {
        if (!has_last()) return;
        for (index f = 0; f < program_.map->feature_count; ++f) {
            const double unit = std::exp2(static_cast<double>(reference[f]));
            for (index c = 0; c < program_.shape.value_dim; ++c)
                d.s.sum[f][c] = scaled(of_.d_last(batch_, head_, c, f), unit);
            if (of_.d_last_total.data != nullptr)
                d.total[f] = scaled(of_.d_last_total(batch_, head_, f), unit);
        }
    }
    /// The gradient of the state before the run, from D behind its first token.
    void take_first(const head_sums<T>& d, const T* reference) const {
        if (!ends_.first || of_.d_first.data == nullptr) return;
        for (index f = 0; f < program_.map->feature_count; ++f) {
            // What begins anew has read nothing of it.
            const double unit = forgets_ ? 0 : std::exp2(-static_cast<double>(reference[f]));
            for (index c = 0; c < program_.shape.value_dim; ++c)
                add(of_.d_first(batch_, head_, c, f), d.s.sum[f][c], unit);
            if (of_.d_first_total.data != nullptr)
                add(of_.d_first_total(batch_, head_, f), d.total[f], unit);
        }
    }

  private:
    static T scaled(T x, double unit) { return static_cast<T>(static_cast<double>(x) * unit); }
    void add(T& to, T x, double unit) const {
        const T more = unit == 0 ? T(0) : scaled(x, unit);
        to = is_first_head_ ? more : to + more;
    }

    const linear_program<T>& program_;
    const state_gradients<T>& of_;
    index batch_ = 0, head_ = 0;
    run_ends ends_;
    bool is_first_head_ = false, forgets_ = false;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
