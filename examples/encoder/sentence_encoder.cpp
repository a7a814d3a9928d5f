#include "sentence_encoder.hpp"

#include <algorithm>
#include <stdexcept>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/split_heads.hpp>
#include <heed/core/view.hpp>
#include <heed/init/activations/gelu.hpp>
#include <heed/init/layer_norm.hpp>

namespace encoder {

using examples::linear_layer;

namespace {

constexpr const char* words = "embeddings.word_embeddings.weight";
constexpr const char* places = "embeddings.position_embeddings.weight";
constexpr const char* kinds = "embeddings.token_type_embeddings.weight";

void check_text(const std::vector<token>& text, const configuration& sizes) {
    if (text.empty() || static_cast<index>(text.size()) > sizes.longest)
        throw std::invalid_argument("a text has " + std::to_string(text.size()) +
                                    " tokens, but it must have from 1 to " +
                                    std::to_string(sizes.longest));
    for (const token t : text)
        if (t < 0 || t >= sizes.vocabulary)
            throw std::invalid_argument("token " + std::to_string(t) + ", but the model knows " +
                                        std::to_string(sizes.vocabulary));
}

}  // namespace

sentence_encoder::sentence_encoder(const configuration& sizes,
                                   const examples::tensor_table& tensors, precision stored)
    : sizes_(sizes),
      tensors_(tensors),
      prefix_(tensors.has(std::string("bert.") + words) ? "bert." : ""),
      embedding_norm_(make_norm("embeddings.LayerNorm")) {
    tensors_.expect(prefix_ + words, sizes_.vocabulary, sizes_.width);
    tensors_.expect(prefix_ + places, sizes_.longest, sizes_.width);
    tensors_.expect(prefix_ + kinds, sizes_.kinds, sizes_.width);
    for (index layer = 0; layer < sizes_.layers; ++layer)
        blocks_.push_back(make_block("encoder.layer." + std::to_string(layer) + ".", stored));
}

sentence_encoder::norm sentence_encoder::make_norm(const std::string& name) const {
    return {tensors_.vector(prefix_ + name + ".weight", sizes_.width),
            tensors_.vector(prefix_ + name + ".bias", sizes_.width)};
}

sentence_encoder::block sentence_encoder::make_block(const std::string& name,
                                                     precision stored) const {
    const auto layer = [&](const std::string& part, index outputs, index inputs) {
        const std::string whole = prefix_ + name + part;
        const matrix weight = tensors_.weights(whole + ".weight", outputs, inputs);
        return linear_layer(weight, tensors_.vector(whole + ".bias", outputs), stored);
    };
    const index width = sizes_.width, inner = sizes_.inner;
    return {layer("attention.self.query", width, width),
            layer("attention.self.key", width, width),
            layer("attention.self.value", width, width),
            layer("attention.output.dense", width, width),
            make_norm(name + "attention.output.LayerNorm"),
            layer("intermediate.dense", inner, width),
            layer("output.dense", width, inner),
            make_norm(name + "output.LayerNorm")};
}

/// Word, place and kind, [texts · length, width]; padding is zeros.
matrix sentence_encoder::embed(std::span<const std::vector<token>> texts, index length) const {
    matrix x = matrix::Zero(static_cast<index>(texts.size()) * length, sizes_.width);
    Eigen::RowVectorXf part(sizes_.width);
    for (std::size_t text = 0; text < texts.size(); ++text) {
        index row = static_cast<index>(text) * length, place = 0;
        for (const token t : texts[text]) {
            tensors_.read_row(prefix_ + words, t, x.row(row).data());
            tensors_.read_row(prefix_ + places, place++, part.data());
            x.row(row) += part;
            tensors_.read_row(prefix_ + kinds, 0, part.data());
            x.row(row++) += part;
        }
    }
    return x;
}

void sentence_encoder::normalise(const norm& n, matrix& x) const {
    heed::layer_norm(n.gamma, n.beta, sizes_.epsilon).into(x, x);
}

void sentence_encoder::run(const block& layer, matrix& x, std::span<const index> lengths,
                           const heed::on_pool& threads) const {
    const auto batch = static_cast<index>(lengths.size());
    const auto heads_of = [&](auto& rows) {
        const auto tokens = heed::view(rows.data(), {batch, rows.rows() / batch, rows.cols()});
        return heed::split_heads(tokens, sizes_.heads);
    };
    const matrix q = layer.q(x, threads), k = layer.k(x, threads), v = layer.v(x, threads);
    matrix mixed(x.rows(), x.cols());
    const std::vector<index> seen(lengths.begin(), lengths.end());
    heed::attention_into(heads_of(mixed), heads_of(q), heads_of(k), heads_of(v),
                         heed::key_lengths(seen), threads);
    x += layer.o(mixed, threads);
    normalise(layer.after_attention, x);
    x += layer.down(heed::gelu(layer.up(x, threads)), threads);
    normalise(layer.after_inner, x);
}

matrix sentence_encoder::encode(std::span<const std::vector<token>> texts,
                                const heed::on_pool& threads) const {
    std::vector<index> lengths;
    for (const auto& text : texts) {
        check_text(text, sizes_);
        lengths.push_back(static_cast<index>(text.size()));
    }
    matrix vectors(static_cast<index>(texts.size()), sizes_.width);
    if (texts.empty()) return vectors;
    const index length = *std::max_element(lengths.begin(), lengths.end());
    matrix x = embed(texts, length);
    normalise(embedding_norm_, x);
    for (const block& layer : blocks_) run(layer, x, lengths, threads);
    for (std::size_t text = 0; text < texts.size(); ++text) {
        // A token after the other: Eigen's own sums have an order that depends on the rows.
        Eigen::RowVectorXf sum = Eigen::RowVectorXf::Zero(sizes_.width);
        const index first = static_cast<index>(text) * length;
        for (index row = first; row < first + lengths[text]; ++row) sum += x.row(row);
        vectors.row(static_cast<index>(text)) = sum / sum.norm();  // of length one, as the mean's
    }
    return vectors;
}

}  // namespace encoder
