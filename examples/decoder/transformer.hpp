#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "configuration.hpp"
#include "layer_cache.hpp"
#include "support/linear_layer.hpp"
#include "support/stored_tensor.hpp"

namespace decoder {

/// What has been read of one text: a cache a layer.
using text_cache = std::vector<layer_cache>;

/// The next tokens of one text.
struct piece {
    text_cache* text;
    std::span<const token> tokens;  ///< at least one
};

/// Of which rows logits are wanted.
enum class wanted { last_of_each, all };

/// A Llama-like model: blocks of attention and SwiGLU, RMS norms before each (arXiv 2302.13971).
///
/// A row's numbers have the same bits whether its text is read token by token, in pieces or as a
/// whole, alone or beside others: every product is heed::project, and attention is over caches.
class transformer {
  public:
    /// Takes and packs the weights, by the names of transformers; the embedding stays in the file,
    /// which must outlive the model. Throws file_error, which names the tensor, for one that is
    /// missing or does not fit. `progress` is told which fraction is done.
    transformer(const configuration& sizes, const examples::tensor_table& tensors, precision stored,
                const std::function<void(double)>& progress = {});

    [[nodiscard]] text_cache make_cache(precision stored) const;

    /// Throws std::invalid_argument where a text of so many tokens is longer than the
    /// configuration's longest.
    void check_length(index tokens) const;

    /// Reads the pieces, each behind what its text has, and gives a row of logits for the last
    /// token of each, or for every token. Throws std::invalid_argument for a text that gets longer
    /// than the configuration's longest, and for a token that the model does not know.
    [[nodiscard]] matrix read(std::span<const piece> pieces, wanted rows,
                              const heed::on_pool& threads) const;

    [[nodiscard]] const configuration& sizes() const { return sizes_; }

  private:
    struct block {
        Eigen::VectorXf attention_norm, inner_norm;
        examples::linear_layer q, k, v, o, gate, up, down;
    };

    [[nodiscard]] block make_block(const std::string& name, precision stored) const;
    [[nodiscard]] examples::linear_layer make_layer(const std::string& name, index outputs,
                                                    index inputs, precision stored) const;
    [[nodiscard]] matrix embed(std::span<const piece> pieces) const;
    void run(const block& layer, std::size_t number, matrix& x, std::span<const piece> pieces,
             const heed::on_pool& threads) const;

    configuration sizes_;
    examples::tensor_table tensors_;
    std::vector<block> blocks_;
    Eigen::VectorXf norm_;
    std::optional<examples::linear_layer> logits_;
};

}  // namespace decoder
