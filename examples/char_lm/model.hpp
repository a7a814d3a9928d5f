#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "matrix.hpp"

namespace char_lm {

/// How attention scores are scaled; n is the number of characters that a character sees, L the
/// length of the training windows.
enum class score_scale {
    standard,              ///< 1/√d
    log_n,                 ///< log_L n/√d, for a model that is trained with it
    log_n_after_training,  ///< max(1, log_L n)/√d, for one that is not
};

/// What makes a model.
struct architecture {
    index vocabulary = 0;
    index layers = 4;
    index heads = 4;
    index width = 128;
    index context = 128;                        ///< length of the training windows
    score_scale scale = score_scale::standard;  ///< in training: standard or log_n
    bool query_key_bias = false;                ///< q and k get a learned vector (kexue 9577)
    bool token_shift = false;  ///< attention reads half of its input from the token before
};

template <class Scalar>
class attention;
struct attention_cache;

/// Makes the attention of a layer, counted from 0.
template <class Scalar>
using attention_factory =
    std::function<std::unique_ptr<attention<Scalar>>(const architecture&, index layer)>;

/// A causal character transformer: embedding, `layers` blocks, norm, linear. A block is
///
///     x += attention(norm(x))·W_out
///     x += silu(norm(x)·W_up)·W_down
///
/// The model holds no numbers of its own: parameters are a flat vector that the caller owns, so
/// that several threads read one set and each writes its own gradients. Scalar is float in the
/// program and double in the gradient test.
template <class Scalar>
class transformer {
  public:
    /// What a pass keeps for the pass behind it; one for each thread, reused for every batch.
    struct workspace;

    /// The characters seen so far, for generating one at a time. A handle: copies share keys and
    /// values, so only one of them may go on.
    struct cache {
        std::vector<std::shared_ptr<attention_cache>> seen;  ///< of each block
        std::vector<column<Scalar>> shifted;                 ///< what goes to the next token
        index length = 0;
        std::shared_ptr<workspace> work;

        void clear();  ///< to start again
    };

    transformer(const architecture& sizes, const attention_factory<Scalar>& make_attention);
    ~transformer();

    [[nodiscard]] const architecture& sizes() const;
    [[nodiscard]] index parameter_count() const;

    /// How many numbers the attentions of all layers keep of a sequence of so many tokens.
    [[nodiscard]] index state_size(index length) const;

    /// How many parameters, from the first on, are weight matrices: those that decay. Behind them
    /// come the gains of the norms.
    [[nodiscard]] index decayed_count() const;

    [[nodiscard]] std::shared_ptr<workspace> make_workspace() const;
    [[nodiscard]] cache make_cache(index capacity) const;

    void initialise(std::span<Scalar> parameters, std::uint64_t seed) const;

    /// The sum of the losses over `sequences` windows that stand one behind the other in `inputs`,
    /// and the gradient of that sum divided by `count`, written to `gradient`. A target may be
    /// `not_scored`. `first_window` is the first of them, counted over all training.
    double loss_and_gradient(std::span<const Scalar> parameters, std::span<const token> inputs,
                             std::span<const token> targets, index sequences, index first_window,
                             index count, workspace& work, std::span<Scalar> gradient) const;

    /// logits [tokens, vocabulary] of `sequences` windows. The result lives in `work`.
    const matrix<Scalar>& infer(std::span<const Scalar> parameters, std::span<const token> inputs,
                                index sequences, score_scale scale, workspace& work) const;

    /// logits of the character that follows `next`, which is appended to the cache: [1,
    /// vocabulary].
    const matrix<Scalar>& step(std::span<const Scalar> parameters, token next, cache& seen) const;

    /// The attention weights of one head over one window: [length, length].
    [[nodiscard]] matrix<Scalar> attention_weights(std::span<const Scalar> parameters,
                                                   std::span<const token> inputs, index layer,
                                                   index head, workspace& work) const;

    /// How many nats the attention of each character of one window spreads over:
    /// [layers · heads, length].
    [[nodiscard]] matrix<Scalar> attention_entropies(std::span<const Scalar> parameters,
                                                     std::span<const token> inputs,
                                                     score_scale scale, workspace& work) const;

  private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace char_lm
