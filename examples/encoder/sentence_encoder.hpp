#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <heed/core/parallel.hpp>

#include "configuration.hpp"
#include "support/linear_layer.hpp"
#include "support/stored_tensor.hpp"

namespace encoder {

using examples::matrix;
using examples::precision;
using token = std::int32_t;

/// Vectors of texts: a BERT-like encoder (arXiv 1810.04805), the mean of its last layer over the
/// tokens of a text, of length one (arXiv 1908.10084). The cosine of two texts is the product of
/// their vectors.
class sentence_encoder {
  public:
    /// Takes and packs the weights, by the names of transformers; the embeddings stay in the file,
    /// which must outlive the encoder. Throws file_error, which names the tensor, for one that is
    /// missing or does not fit.
    sentence_encoder(const configuration& sizes, const examples::tensor_table& tensors,
                     precision stored);

    /// A row for each text, [texts, width]: all of them at once, padded to the longest. A row has
    /// the same bits alone and beside others. Throws std::invalid_argument for a text without
    /// tokens, with more than the model has positions, or with a token that it does not know.
    [[nodiscard]] matrix encode(std::span<const std::vector<token>> texts,
                                const heed::on_pool& threads) const;

  private:
    struct norm {
        Eigen::VectorXf gamma, beta;
    };
    struct block {
        examples::linear_layer q, k, v, o;
        norm after_attention;
        examples::linear_layer up, down;
        norm after_inner;
    };

    [[nodiscard]] norm make_norm(const std::string& name) const;
    [[nodiscard]] block make_block(const std::string& name, precision stored) const;
    [[nodiscard]] matrix embed(std::span<const std::vector<token>> texts, index length) const;
    void normalise(const norm& n, matrix& x) const;
    void run(const block& layer, matrix& x, std::span<const index> lengths,
             const heed::on_pool& threads) const;

    configuration sizes_;
    examples::tensor_table tensors_;
    std::string prefix_;  ///< of all names: "bert." where the file has more than an encoder
    norm embedding_norm_;
    std::vector<block> blocks_;
};

}  // namespace encoder
