#pragma once

#include <memory>

#include "matrix.hpp"
#include "model.hpp"

/// \file
/// What the model asks of its attention. attention_with.hpp has the body, which is heed's.

namespace char_lm {

/// What backward needs of each row; what that is depends on the normaliser.
struct attention_stats {
    virtual ~attention_stats() = default;
};

/// What one attention keeps of the characters that it has seen: their keys and values, or a state.
struct attention_cache {
    virtual ~attention_cache() = default;
    virtual void clear() = 0;
};

/// Causal multi-head attention, over rows that hold [q | k | v | gates] of one token side by side.
template <class Scalar>
class attention {
  public:
    virtual ~attention() = default;

    /// Columns of gates: what it asks of a token beside q, k and v, a decay for example.
    [[nodiscard]] virtual index gate_columns() const { return 0; }

    /// How many numbers it has to keep of a sequence of so many tokens, to go on with the next.
    [[nodiscard]] virtual index state_size(index length) const = 0;

    [[nodiscard]] virtual std::unique_ptr<attention_stats> make_stats() const = 0;

    /// out = attention(q, k, v), and what backward needs of each row. The windows of all training
    /// are numbered; `first_window` is the first of these.
    virtual void forward(const matrix<Scalar>& qkv, index sequences, index first_window,
                         matrix<Scalar>& out, attention_stats& stats) const = 0;

    /// d_qkv, interleaved as qkv is.
    virtual void backward(const matrix<Scalar>& d_out, const matrix<Scalar>& out,
                          const attention_stats& stats, const matrix<Scalar>& qkv, index sequences,
                          matrix<Scalar>& d_qkv) const = 0;

    /// Without anything kept for backward, and with any scale.
    virtual void infer(const matrix<Scalar>& qkv, index sequences, score_scale scale,
                       matrix<Scalar>& out) const = 0;

    /// An empty cache, with memory for so many tokens. Only for the attention of a model that
    /// writes.
    [[nodiscard]] virtual std::unique_ptr<attention_cache> make_cache(index capacity) const = 0;

    /// Appends k and v of the next tokens, and attends from their q to all that the cache has then.
    virtual void decode(const matrix<Scalar>& qkv, attention_cache& seen, score_scale scale,
                        matrix<Scalar>& out) const = 0;

    /// How much of each token's value (across) comes to a token (down), in one head of one
    /// sequence: [length, length].
    [[nodiscard]] virtual matrix<Scalar> weights(const matrix<Scalar>& qkv, index head,
                                                 score_scale scale) const = 0;

    /// Of one sequence, how many nats each token's attention spreads over, by head: [heads,
    /// length].
    [[nodiscard]] virtual matrix<Scalar> entropies(const matrix<Scalar>& qkv,
                                                   score_scale scale) const = 0;
};

}  // namespace char_lm
