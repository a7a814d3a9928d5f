#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/state/held_sums.hpp>
#include <heed/linear/kernel/state/state_kind.hpp>
#include <heed/linear/part.hpp>

/// \file
/// What linear attention has seen so far, carried from call to call.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct state_access;
template <class T>
class state_composition;

}  // namespace detail

/// How a heed::linear_state is made.
struct linear_state_options {
    /// Keeps what was before the last chunk too, so that rewind can go back to the line before it;
    /// otherwise by what stands behind the last line of the grid. Twice the memory, and a copy at
    /// every line.
    bool rewindable = false;
};

/// S = Σ φ(k_j) v_jᵀ and Z = Σ φ(k_j) of every head, or S with decays and updates, and the keys and
/// values since the last line of the grid: what heed::carry(state) gives to a call and gets back.
/// Empty at first, it takes its shape from its first call. A value: a copy is a fork of the
/// sequence. Memory does not grow with the sequence: about 2·m·d_v + 32·(2m + d_v) numbers a head,
/// of m features.
template <class Scalar>
class linear_state {
  public:
    using matrix_type = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
    using vector_type = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

    linear_state() = default;
    explicit linear_state(linear_state_options options) : options_(options) {}

    /// A state that begins with S [batch, heads, d_v, features], for calls that do not divide, and
    /// with Z [batch, heads, features] too, for those that do. shape_error where the two do not
    /// fit, argument_error for a length below 0. What was matrix() of another state goes on with
    /// that state's numbers, rounded anew, on a grid that begins here.
    template <tensor_like Matrices>
    static linear_state from(const Matrices& matrices) {
        return from_sums(matrices, tensor_view<const Scalar, 3>{}, false);
    }
    template <tensor_like Matrices, tensor_like Denominators>
    static linear_state from(const Matrices& matrices, const Denominators& denominators) {
        const auto held = detail::evaluate("the denominators", denominators);
        static_assert(rank_of<Denominators> == 3,
                      "heed: the denominators of a state are [batch, heads, features]");
        return from_sums(matrices, tensor_view<const Scalar, 3>(held.view()), true);
    }

    /// Whether no call has been made with it yet.
    bool empty() const { return kind_.batch == 0; }
    /// Tokens that a sequence of the batch has been given; of its last document, where there were
    /// several. argument_error if there is no such sequence; an empty state has length 0.
    index length(index batch = 0) const {
        if (empty() && batch == 0) return 0;
        check_place(batch, 0);
        return lengths_[static_cast<std::size_t>(batch)];
    }
    index batch() const { return kind_.batch; }
    /// Heads of the state: the least number that those of k and of v divide.
    index heads() const { return kind_.heads; }

    /// S of a head, [d_v, features], all keys included. argument_error if there is none.
    matrix_type matrix(index batch, index head) const {
        check_place(batch, head);
        const auto of = head_of(batch, head);
        matrix_type result(kind_.value_dim, kind_.features);
        for (index f = 0; f < kind_.features; ++f)
            for (index c = 0; c < kind_.value_dim; ++c)
                result(c, f) = static_cast<Scalar>(sum_of(of, f, c));
        return result;
    }
    /// Z of a head, all keys included; zeros where calls do not divide.
    vector_type denominator(index batch, index head) const {
        check_place(batch, head);
        const auto of = head_of(batch, head);
        vector_type result = vector_type::Zero(kind_.features);
        if (!kind_.divides) return result;
        for (index f = 0; f < kind_.features; ++f)
            result(f) =
                static_cast<Scalar>(detail::feature_unit(of, f) * detail::relative_total_of(of, f));
        return result;
    }

    /// Takes back the last `tokens` of every sequence, as if they had never come. argument_error if
    /// that is further than can be remembered: to the last line of the grid, or if the state is
    /// rewindable to the line before. A token that begins anew off the grid, or whose key raises
    /// the references of features, is a line too, which is drawn behind it.
    void rewind(index tokens) {
        detail::require_argument(tokens >= 0, "heed::linear_state: rewind by ", tokens,
                                 ", but it must not be negative");
        if (tokens == 0) return;
        const index most = can_rewind();
        detail::require_argument(tokens <= most, "heed::linear_state: rewind by ", tokens,
                                 ", but only the last ", most, " tokens can be taken back");
        for (index b = 0; b < kind_.batch; ++b) {
            index& length = lengths_[static_cast<std::size_t>(b)];
            length -= tokens;
            for (index h = 0; h < kind_.heads; ++h)
                rewind_head(b * kind_.heads + h, tokens, length);
        }
    }
    /// By how many tokens rewind can go back.
    index can_rewind() const {
        index most = 0;
        for (std::size_t i = 0; i < progress_.size(); ++i) {
            const bool remembers = options_.rewindable && older_progress_[i].keys > 0;
            const detail::head_progress& first = remembers ? older_progress_[i] : progress_[i];
            index of_head = (progress_[i].keys + (remembers ? first.keys : 0)) / kind_.steps;
            if (first.cuts) --of_head;  // what was before that token is not remembered
            most = i == 0 ? of_head : std::min(most, of_head);
        }
        return most;
    }

    /// Empty again.
    void clear() { *this = linear_state(options_); }

  private:
    friend struct detail::state_access<Scalar>;
    friend class detail::state_composition<Scalar>;
    using heads_of = detail::head_sums<Scalar>;

    detail::head_layout<Scalar> layout() const {
        return detail::head_layout<Scalar>::of(kind_.features, kind_.value_dim);
    }
    /// Only to be read.
    heads_of head_of(index batch, index head) const {
        const index which = batch * kind_.heads + head;
        auto& self = const_cast<linear_state&>(*this);
        return layout().at(self.numbers_.data() + which * layout().size(),
                           &self.progress_[static_cast<std::size_t>(which)]);
    }
    double sum_of(const heads_of& of, index feature, index column) const {
        if (decays_channels()) return detail::channel_sum_of(of, feature, column);
        return detail::relative_sum_of(of, feature, column) * detail::feature_unit(of, feature);
    }
    bool decays_channels() const { return kind_.decays == detail::decayed::channels; }
    void check_place(index batch, index head) const {
        detail::require_argument(batch >= 0 && batch < kind_.batch, "heed::linear_state: sequence ",
                                 batch, ", but there are ", kind_.batch);
        detail::require_argument(head >= 0 && head < kind_.heads, "heed::linear_state: head ", head,
                                 ", but there are ", kind_.heads);
    }

    void rewind_head(index which, index tokens, index length) {
        const auto at = static_cast<std::size_t>(which);
        Scalar* numbers = numbers_.data() + which * layout().size();
        detail::head_progress& progress = progress_[at];
        index columns = tokens * kind_.steps;  // of the chunk
        if (columns > progress.keys || (columns == progress.keys && progress.cuts)) {
            columns -= progress.keys;
            std::copy_n(older_.data() + which * layout().size(), layout().size(), numbers);
            progress = older_progress_[at];
            if (columns == 0 && length * kind_.steps % detail::chunk_length == 0) {
                // At a line the chunk is part of S; only a key that raised references, or whose
                // decays S took at once, gets here.
                const heads_of of = layout().at(numbers, &progress);
                if (decays_channels())
                    detail::fold_channels(of, kind_.features, layout().columns);
                else
                    detail::fold_chunk(of, kind_.features, layout().columns);
                return;
            }
            older_progress_[at].keys = 0;  // it holds this chunk now, not the one before
        }
        progress.keys -= columns;
        if (progress.keys == 0) progress.anew = progress.cuts = false;
        if (length == 0 && !given_) {
            layout().clear(numbers);
            progress = {};
            return;
        }
        const heads_of of = layout().at(numbers, &progress);
        if (decays_channels()) return detail::sum_channels(of, kind_.features);
        // The sum of the keys that are left, in the order in which they came.
        std::fill_n(of.running, static_cast<std::size_t>(layout().row()), Scalar(0));
        for (index j = 0; j < progress.keys; ++j)
            for (index f = 0; f < layout().row(); ++f) of.running[f] += of.key_rows[j][f];
    }

    void take_shape(const detail::state_kind& kind) {
        linear_state fresh(options_);
        fresh.kind_ = kind;
        const auto heads = static_cast<std::size_t>(kind.batch * kind.heads);
        const auto numbers = heads * static_cast<std::size_t>(fresh.layout().size());
        fresh.numbers_.resize(numbers);
        fresh.progress_.resize(heads);
        if (options_.rewindable) {
            fresh.older_.resize(numbers);
            fresh.older_progress_.resize(heads);
        }
        fresh.lengths_.resize(static_cast<std::size_t>(kind.batch));
        *this = std::move(fresh);
    }

    template <tensor_like Matrices>
    static linear_state from_sums(const Matrices& matrices,
                                  const tensor_view<const Scalar, 3>& denominators, bool divides) {
        static_assert(rank_of<Matrices> == 4 && std::is_same_v<scalar_of<Matrices>, Scalar>,
                      "heed: the matrices of a state are [batch, heads, d_v, features], of its "
                      "scalar");
        const auto held = detail::evaluate("the matrices", matrices);
        const tensor_view<const Scalar, 4> s = held.view();
        const auto [batch, heads, value_dim, features] = s.extents;
        detail::require_shape(!s.empty(), "the matrices have shape ", s.extents,
                              ", but must not be empty");
        const std::array<index, 3> expected{batch, heads, features};
        detail::require_shape(!divides || denominators.extents == expected,
                              "the denominators have shape ", denominators.extents,
                              ", but must have ", expected);
        linear_state state;
        state.take_shape({batch, heads, features, value_dim, {}, divides, detail::encoded::none});
        state.given_ = true;
        for (index b = 0; b < batch; ++b) {
            for (index h = 0; h < heads; ++h) {
                const heads_of of = state.head_of(b, h);
                of.progress->begun = true;
                for (index f = 0; f < features; ++f) {
                    for (index c = 0; c < value_dim; ++c) of.s.sum[f][c] = s(b, h, c, f);
                    if (divides) of.total[f] = denominators(b, h, f);
                }
            }
        }
        return state;
    }

    linear_state_options options_;
    detail::state_kind kind_;
    std::vector<Scalar> numbers_, older_;
    std::vector<detail::head_progress> progress_, older_progress_;
    std::vector<index> lengths_;
    bool given_ = false;  ///< whether it began with matrices
};

namespace detail {

/// The part that heed::carry makes.
template <class T>
struct carried_state : linear_part_base<role::state> {
    linear_state<T>* state;

    explicit carried_state(linear_state<T>& of) : state(&of) {}
};

}  // namespace detail

/// A part of a causal call: goes on from where `state` is, and leaves it behind the last token. So
/// a sequence may come in any pieces, down to one token at a time, with the same bits as in one
/// call:
///
///     heed::linear_state<float> state;
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::elu_plus_one,
///                                     heed::carry(state));   // a prompt; then token by token
///
/// q, k and v are then equally long. The call throws shape_error for a state of another shape, and
/// argument_error for one of calls with other parts. If a call throws for another reason (a user's
/// function, memory), the state is that of no sequence: clear it.
template <class Scalar>
[[nodiscard]] detail::carried_state<Scalar> carry(linear_state<Scalar>& state) {
    return detail::carried_state<Scalar>(state);
}

}  // namespace heed::inline HEED_ARCHITECTURE
