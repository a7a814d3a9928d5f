#include "transformer.hpp"

#include <stdexcept>

#include <heed/init/activations/swiglu.hpp>
#include <heed/init/rms_norm.hpp>

namespace decoder {

using examples::linear_layer;

namespace {

constexpr const char* embedding = "model.embed_tokens.weight";

}  // namespace

transformer::transformer(const configuration& sizes, const examples::tensor_table& tensors,
                         precision stored, const std::function<void(double)>& progress)
    : sizes_(sizes), tensors_(tensors), norm_(tensors.vector("model.norm.weight", sizes.width)) {
    tensors_.expect(embedding, sizes_.vocabulary, sizes_.width);
    for (index layer = 0; layer < sizes_.layers; ++layer) {
        blocks_.push_back(make_block("model.layers." + std::to_string(layer) + ".", stored));
        if (progress) progress(double(layer + 1) / double(sizes_.layers + 1));
    }
    logits_ = make_layer(sizes_.tied ? "model.embed_tokens" : "lm_head", sizes_.vocabulary,
                         sizes_.width, stored);
    if (progress) progress(1);
}

linear_layer transformer::make_layer(const std::string& name, index outputs, index inputs,
                                     precision stored) const {
    std::optional<Eigen::VectorXf> bias;
    if (tensors_.has(name + ".bias")) bias = tensors_.vector(name + ".bias", outputs);
    return {tensors_.weights(name + ".weight", outputs, inputs), bias, stored};
}

transformer::block transformer::make_block(const std::string& name, precision stored) const {
    const index width = sizes_.width, inner = sizes_.inner;
    const index of_q = sizes_.heads * sizes_.dim, of_kv = sizes_.kv_heads * sizes_.dim;
    const auto layer = [&](const char* part, index outputs, index inputs) {
        return make_layer(name + part, outputs, inputs, stored);
    };
    return {tensors_.vector(name + "input_layernorm.weight", width),
            tensors_.vector(name + "post_attention_layernorm.weight", width),
            layer("self_attn.q_proj", of_q, width),
            layer("self_attn.k_proj", of_kv, width),
            layer("self_attn.v_proj", of_kv, width),
            layer("self_attn.o_proj", width, of_q),
            layer("mlp.gate_proj", inner, width),
            layer("mlp.up_proj", inner, width),
            layer("mlp.down_proj", width, inner)};
}

void transformer::check_length(index tokens) const {
    if (tokens > sizes_.longest)
        throw std::invalid_argument("a text of " + std::to_string(tokens) +
                                    " tokens, but the model is made for at most " +
                                    std::to_string(sizes_.longest));
}

text_cache transformer::make_cache(precision stored) const {
    text_cache cache;
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) cache.emplace_back(sizes_, stored);
    return cache;
}

/// A row of the embedding for each token, one piece behind the other.
matrix transformer::embed(std::span<const piece> pieces) const {
    std::size_t count = 0;
    for (const piece& p : pieces) count += p.tokens.size();
    matrix x(static_cast<index>(count), sizes_.width);
    index row = 0;
    for (const piece& p : pieces) {
        if (p.tokens.empty()) throw std::invalid_argument("a piece has no tokens");
        for (const token t : p.tokens) {
            if (t < 0 || t >= sizes_.vocabulary)
                throw std::invalid_argument("token " + std::to_string(t) +
                                            ", but the model knows " +
                                            std::to_string(sizes_.vocabulary));
            tensors_.read_row(embedding, t, x.row(row++).data());
        }
    }
    return x;
}

void transformer::run(const block& layer, std::size_t number, matrix& x,
                      std::span<const piece> pieces, const heed::on_pool& threads) const {
    const matrix normed = heed::rms_norm(layer.attention_norm, sizes_.epsilon)(x);
    const matrix q = layer.q(normed, threads), k = layer.k(normed, threads),
                 v = layer.v(normed, threads);
    matrix mixed(q.rows(), q.cols());
    index first = 0;
    for (const piece& p : pieces) {
        const auto rows = static_cast<index>(p.tokens.size());
        (*p.text)[number].attend(mixed.middleRows(first, rows), q.middleRows(first, rows),
                                 k.middleRows(first, rows), v.middleRows(first, rows), threads);
        first += rows;
    }
    x += layer.o(mixed, threads);

    const matrix again = heed::rms_norm(layer.inner_norm, sizes_.epsilon)(x);
    const matrix gate = layer.gate(again, threads), up = layer.up(again, threads);
    x += layer.down(heed::swiglu(gate, up), threads);
}

matrix transformer::read(std::span<const piece> pieces, wanted rows,
                         const heed::on_pool& threads) const {
    for (const piece& p : pieces)
        check_length(p.text->front().length() + static_cast<index>(p.tokens.size()));
    matrix x = embed(pieces);
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer)
        run(blocks_[layer], layer, x, pieces, threads);
    if (rows == wanted::last_of_each) {
        matrix last(static_cast<index>(pieces.size()), sizes_.width);
        index end = 0;
        for (std::size_t p = 0; p < pieces.size(); ++p) {
            end += static_cast<index>(pieces[p].tokens.size());
            last.row(static_cast<index>(p)) = x.row(end - 1);
        }
        x = last;
    }
    return (*logits_)(heed::rms_norm(norm_, sizes_.epsilon)(x), threads);
}

}  // namespace decoder
