#pragma once

#include <tuple>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/erase.hpp>
#include <heed/linear/updates/low_rank.hpp>

#include "linear/channel_problem.hpp"
#include "linear/decay_problem.hpp"
#include "linear/delta_problem.hpp"
#include "linear/erase_problem.hpp"
#include "linear/low_rank_problem.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"

/// \file
/// Causal sequences of linear attention, whole and in pieces, with numbers of their tokens.

namespace heed_test {

/// Numbers of the tokens of a sequence: decays of either kind, of which some clear what was before.
/// As all such numbers they say what they are to the reference, give f the parts that tokens first
/// … first + count − 1 have, learned, and give f each tensor of theirs.
template <class T, class Decays>
struct decay_numbers {
    static constexpr index value_dim = 7;
    reference::tensor logs;
    decltype(Decays::template numbers<T>(std::declval<reference::tensor>())) g;

    decay_numbers(generator& random, const linear_extents& e)
        : logs(Decays::draw(random, e, 2)), g(Decays::template numbers<T>(logs)) {}

    reference::linear_options how(const linear_problem& from) const {
        return with_decays(from, logs);
    }
    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(heed::learn(heed::log_decay(tokens(g, first, count))));
    }
    template <class F>
    void each(const F& f) {
        f(g);
    }
};
template <class T>
using token_decays = decay_numbers<T, decays_of_tokens>;
template <class T>
using channel_decays = decay_numbers<T, decays_of_channels>;

/// The delta rule beside decays of either kind, rows being of length 1.
template <class T, class Decays>
struct delta_numbers : Decays {
    static constexpr index value_dim = 37;  // more than a vector, and no multiple of one
    reference::tensor betas;
    tensor3<T> beta;

    delta_numbers(generator& random, const linear_extents& e)
        : Decays(random, e), betas(random_deltas(random, e, 2)), beta(to_decays<T>(betas)) {}

    reference::linear_options how(const linear_problem& from) const {
        return with_deltas(from, betas, this->logs, true);
    }
    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return Decays::with_parts(first, count, [&](const auto& decay) {
            return f(decay, heed::learn(heed::delta(tokens(beta, first, count))), heed::unit_rows);
        });
    }
    template <class F>
    void each(const F& f) {
        Decays::each(f);
        f(beta);
    }
};

/// Erasing by channels beside decays.
template <class T>
struct erase_numbers : token_decays<T> {
    static constexpr index value_dim = 37;
    tensor4<T> erased, written;

    erase_numbers(generator& random, const linear_extents& e)
        : token_decays<T>(random, e),
          erased(to_tensor<T>(random_shares(random, e, 2, e.dim))),
          written(to_tensor<T>(random_shares(random, e, 2, e.value_dim))) {}

    reference::linear_options how(const linear_problem&) const = delete;  // no test asks
    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return token_decays<T>::with_parts(first, count, [&](const auto& decay) {
            return f(decay,
                     heed::learn(
                         heed::erase(tokens(erased, first, count), tokens(written, first, count))),
                     heed::unit_rows);
        });
    }
    template <class F>
    void each(const F& f) {
        token_decays<T>::each(f);
        f(erased);
        f(written);
    }
};

/// An update of low rank beside decays of either kind, rows being of length 1.
template <class T, class Decays>
struct low_rank_numbers : Decays {
    corrections rows;
    tensor4<T> a, b;

    low_rank_numbers(generator& random, const linear_extents& e)
        : Decays(random, e), rows(random, e, 2), a(to_tensor<T>(rows.a)), b(to_tensor<T>(rows.b)) {}

    reference::linear_options how(const linear_problem& from) const {
        return with_low_rank(from, rows.a, rows.b, this->logs, true);
    }
    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return Decays::with_parts(first, count, [&](const auto& decay) {
            return f(decay,
                     heed::learn(heed::low_rank(tokens(a, first, count), tokens(b, first, count))),
                     heed::unit_rows);
        });
    }
    template <class F>
    void each(const F& f) {
        Decays::each(f);
        f(a);
        f(b);
    }
};

/// A bonus, which all tokens share, beside decays a channel.
template <class T>
struct bonus_numbers : channel_decays<T> {
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> u;

    bonus_numbers(generator& random, const linear_extents& e)
        : channel_decays<T>(random, e), u(e.query_heads, e.dim) {
        for (index i = 0; i < u.size(); ++i) u.data()[i] = static_cast<T>(random.normal(1));
    }

    reference::linear_options how(const linear_problem&) const = delete;  // no test asks
    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return channel_decays<T>::with_parts(
            first, count, [&](const auto& decay) { return f(decay, heed::learn(heed::bonus(u))); });
    }
};

/// No numbers: parts that are the same for all tokens, as maps are.
template <class... Parts>
struct fixed_parts {
    std::tuple<Parts...> fixed;

    template <class F>
    auto with_parts(index, index, const F& f) const {
        return std::apply(f, fixed);
    }
};

/// The extents of sequences in which two heads of q read one of the state.
inline linear_extents sequence_extents(index length, index dim, index value_dim, index batch = 2) {
    return {batch, 4, 2, 2, length, length, dim, value_dim};
}

/// Random inputs, with such Numbers.
template <class T, class Numbers>
struct sequence : Numbers {
    using scalar = T;
    linear_problem from;
    linear_inputs<T> in;

    sequence(generator& random, const linear_extents& e, Numbers numbers)
        : Numbers(std::move(numbers)), from(random, e), in(from) {}
    explicit sequence(generator& random, index length, index batch = 2)
        : sequence(random, sequence_extents(length, 5, Numbers::value_dim, batch)) {}

    index length() const { return in.q.dimension(2); }
    tensor4<T> output() const {  // of the extents of o
        return tensor4<T>(in.d_o.dimensions());
    }

    /// o of some tokens.
    template <class... Parts>
    void into(tensor4<T>& o, index first, index count, const Parts&... more) const {
        this->with_parts(first, count, [&](const auto&... parts) {
            heed::linear_attention_into(tokens(o, first, count), tokens(in.q, first, count),
                                        tokens(in.k, first, count), tokens(in.v, first, count),
                                        heed::causal, parts..., more...);
        });
    }
    /// o of all of them.
    template <class... Parts>
    tensor4<T> whole(const Parts&... more) const {
        tensor4<T> o = output();
        into(o, 0, length(), more...);
        return o;
    }
    /// The gradients of all that is learned, after the forward call that they need.
    template <class... Parts>
    auto gradients(const Parts&... more) const {
        return this->with_parts(0, length(), [&](const auto&... parts) {
            const auto [o, stats] =
                heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, parts..., more...);
            return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                                   parts..., more...);
        });
    }

  private:
    sequence(generator& random, const linear_extents& e)
        : sequence(random, e, Numbers(random, e)) {}
};

template <class T>
using decayed = sequence<T, token_decays<T>>;
template <class T>
using faded = sequence<T, channel_decays<T>>;
template <class T>
using updated = sequence<T, delta_numbers<T, token_decays<T>>>;
template <class T>
using faded_and_updated = sequence<T, delta_numbers<T, channel_decays<T>>>;
template <class T>
using erased_sequence = sequence<T, erase_numbers<T>>;
template <class T>
using corrected = sequence<T, low_rank_numbers<T, token_decays<T>>>;
template <class T>
using faded_and_corrected = sequence<T, low_rank_numbers<T, channel_decays<T>>>;
template <class T>
using read_before = sequence<T, bonus_numbers<T>>;

/// o of some tokens, from a state that has seen those before.
template <class T, class Numbers, class... Parts>
void go_on(const sequence<T, Numbers>& all, heed::linear_state<T>& state, tensor4<T>& o,
           index first, index count, const Parts&... more) {
    all.into(o, first, count, heed::carry(state), more...);
}

}  // namespace heed_test
