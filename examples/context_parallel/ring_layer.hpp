#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "attention.hpp"
#include "cluster.hpp"
#include "ring.hpp"

/// \file
/// The ring as the attention of char_lm's transformer. All else in that model is done a token at a
/// time, so a rank runs it over its own tokens as if there were no others.

namespace context_parallel {

/// Causal attention, in training, of rows that hold [q | k | v] of the tokens of one rank: for each
/// sequence those of its first stretch, then those of its next one. Every call is made by all ranks
/// at once. `settings.model` has as many heads of keys as of queries; the batch is the call's.
class ring_layer final : public char_lm::attention<float> {
  public:
    using rows = char_lm::matrix<float>;

    ring_layer(const cluster& ranks, ring_settings settings)
        : ranks_(ranks), settings_(std::move(settings)) {}

    [[nodiscard]] std::unique_ptr<char_lm::attention_stats> make_stats() const override;
    void forward(const rows& qkv, index sequences, index first_window, rows& out,
                 char_lm::attention_stats& stats) const override;
    void backward(const rows& d_out, const rows& out, const char_lm::attention_stats& stats,
                  const rows& qkv, index sequences, rows& d_qkv) const override;

    // Use and pictures are left to one process: std::logic_error.
    [[nodiscard]] index state_size(index) const override;
    void infer(const rows&, index, char_lm::score_scale, rows&) const override;
    [[nodiscard]] std::unique_ptr<char_lm::attention_cache> make_cache(index) const override;
    void decode(const rows&, char_lm::attention_cache&, char_lm::score_scale, rows&) const override;
    [[nodiscard]] rows weights(const rows&, index, char_lm::score_scale) const override;
    [[nodiscard]] rows entropies(const rows&, char_lm::score_scale) const override;

  private:
    ring_settings settings_of(index sequences) const;
    std::vector<stretch> own() const {
        return stretches_of(ranks_.rank(), ranks_.size(), settings_.tokens, settings_.placed);
    }

    const cluster& ranks_;
    ring_settings settings_;
};

}  // namespace context_parallel
