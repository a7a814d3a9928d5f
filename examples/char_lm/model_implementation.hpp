#pragma once

#include <algorithm>
#include <cmath>
#include <random>

#include "attention.hpp"
#include "layers.hpp"
#include "model.hpp"
#include "parameters.hpp"

/// \file
/// The bodies of transformer's members. model.cpp instantiates them for float; the gradient test
/// for double.

namespace char_lm {

/// The weights of one block of the transformer.
struct block {
    rms_norm before_attention;
    linear qkv;  ///< to [q | k | v | gates] of all heads, one product
    bias qk;     ///< of q and k, if the architecture has one
    linear out;
    rms_norm before_mlp;
    linear up;
    linear down;
};

template <class Scalar>
struct transformer<Scalar>::parts {
    architecture sizes;
    parameter_layout layout;
    embedding embed;
    std::vector<block> blocks;
    rms_norm last_norm;
    linear to_logits;
    index decayed = 0;  ///< behind the matrices, before the gains
    index gained = 0;   ///< behind the gains, before the biases
    std::vector<std::unique_ptr<attention<Scalar>>> attend;  ///< of each block

    template <class Shift, class Attend>
    void forward(const Scalar* p, std::span<const token> inputs, workspace& work,
                 Shift shift_in_block, Attend attend_in_block) const;
    void forward_windows(const Scalar* p, std::span<const token> inputs, index sequences,
                         workspace& work, auto attend_in_block) const;
    void backward(const Scalar* p, Scalar* g, std::span<const token> inputs, index sequences,
                  workspace& work) const;

    parts(const architecture& a, const attention_factory<Scalar>& make_attention)
        : sizes(a), blocks(std::size_t(a.layers)) {
        for (index layer = 0; layer < a.layers; ++layer) attend.push_back(make_attention(a, layer));
        embed.table = layout.add(a.vocabulary, a.width);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            block& b = blocks[i];
            b.qkv.w = layout.add(a.width, 3 * a.width + attend[i]->gate_columns());
            b.out.w = layout.add(a.width, a.width);
            b.up.w = layout.add(a.width, 4 * a.width);
            b.down.w = layout.add(4 * a.width, a.width);
        }
        to_logits.w = layout.add(a.width, a.vocabulary);
        decayed = layout.size();
        for (block& b : blocks) {
            b.before_attention.gain = layout.add(1, a.width);
            b.before_mlp.gain = layout.add(1, a.width);
        }
        last_norm.gain = layout.add(1, a.width);
        gained = layout.size();
        for (block& b : blocks) b.qk.b = layout.add(1, a.query_key_bias ? 2 * a.width : 0);
    }
};

template <class Scalar>
struct transformer<Scalar>::workspace {
    /// What one block computed, kept for its backward.
    struct kept {
        matrix<Scalar> x;       ///< the residual stream as it comes in
        matrix<Scalar> normed;  ///< norm(x), shifted: what attention reads
        matrix<Scalar> qkv;
        matrix<Scalar> attended;
        std::unique_ptr<attention_stats> stats;
        matrix<Scalar> x_middle;       ///< the residual stream behind attention
        matrix<Scalar> normed_middle;  ///< norm(x_middle), what the MLP reads
        matrix<Scalar> hidden;         ///< before silu
        matrix<Scalar> activated;      ///< behind it
    };
    std::vector<kept> blocks;
    matrix<Scalar> x;       ///< the residual stream behind the last block
    matrix<Scalar> normed;  ///< norm(x)
    matrix<Scalar> logits;
    matrix<Scalar> branch;  ///< what a branch adds to the stream
    // Gradients, reused from block to block: of the stream, a branch, hidden, qkv.
    matrix<Scalar> d_x, d_branch, d_hidden, d_qkv, d_attended;
};

template <class Scalar>
transformer<Scalar>::transformer(const architecture& sizes,
                                 const attention_factory<Scalar>& make_attention)
    : parts_(std::make_unique<parts>(sizes, make_attention)) {}

template <class Scalar>
transformer<Scalar>::~transformer() = default;

template <class Scalar>
const architecture& transformer<Scalar>::sizes() const {
    return parts_->sizes;
}

template <class Scalar>
index transformer<Scalar>::parameter_count() const {
    return parts_->layout.size();
}

template <class Scalar>
index transformer<Scalar>::decayed_count() const {
    return parts_->decayed;
}

template <class Scalar>
index transformer<Scalar>::state_size(index length) const {
    index size = 0;
    for (const auto& attend : parts_->attend) size += attend->state_size(length);
    return size;
}

template <class Scalar>
auto transformer<Scalar>::make_workspace() const -> std::shared_ptr<workspace> {
    auto work = std::make_shared<workspace>();
    work->blocks.resize(parts_->blocks.size());
    for (std::size_t i = 0; i < work->blocks.size(); ++i)
        work->blocks[i].stats = parts_->attend[i]->make_stats();
    return work;
}

template <class Scalar>
auto transformer<Scalar>::make_cache(index capacity) const -> cache {
    const column<Scalar> nothing = column<Scalar>::Zero(parts_->sizes.width / 2);
    cache empty{{}, {parts_->attend.size(), nothing}, 0, make_workspace()};
    for (const auto& attend : parts_->attend) empty.seen.push_back(attend->make_cache(capacity));
    return empty;
}

template <class Scalar>
void transformer<Scalar>::cache::clear() {
    for (const auto& of_block : seen) of_block->clear();
    for (column<Scalar>& of_block : shifted) of_block.setZero();
    length = 0;
}

/// Variance 1/inputs for every matrix (LeCun); the two that write to the residual stream start
/// smaller by √(2·layers), so that the stream's size does not depend on the depth. Gains start
/// at 1, biases at 0.
template <class Scalar>
void transformer<Scalar>::initialise(std::span<Scalar> parameters, std::uint64_t seed) const {
    std::mt19937_64 engine(seed);
    const auto fill = [&](const weight& w, double deviation) {
        std::normal_distribution<double> normal(0.0, deviation);
        for (Scalar& p : parameters.subspan(std::size_t(w.offset), std::size_t(w.size())))
            p = Scalar(normal(engine));
    };
    const double from_width = 1 / std::sqrt(double(parts_->sizes.width));
    const double to_stream = 1 / std::sqrt(2.0 * double(parts_->sizes.layers));
    fill(parts_->embed.table, 1.0);
    for (const block& b : parts_->blocks) {
        fill(b.qkv.w, from_width);
        fill(b.out.w, from_width * to_stream);
        fill(b.up.w, from_width);
        fill(b.down.w, from_width / 2 * to_stream);
    }
    fill(parts_->to_logits.w, from_width / 4);
    std::fill(parameters.begin() + parts_->decayed, parameters.begin() + parts_->gained, Scalar(1));
    std::fill(parameters.begin() + parts_->gained, parameters.end(), Scalar(0));
}

/// Forward: every block keeps in `work` what its backward reads. `attend_in_block(i, kept)` is the
/// attention of block i, from kept.qkv to kept.attended, `shift_in_block(i, normed)` its token
/// shift: training, use and generation differ only in them.
template <class Scalar>
template <class Shift, class Attend>
void transformer<Scalar>::parts::forward(const Scalar* p, std::span<const token> inputs,
                                         workspace& work, Shift shift_in_block,
                                         Attend attend_in_block) const {
    embed.forward(p, inputs, work.x);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        const block& b = blocks[i];
        auto& kept = work.blocks[i];
        kept.x.swap(work.x);
        b.before_attention.forward(p, kept.x, kept.normed);
        if (sizes.token_shift) shift_in_block(i, kept.normed);
        b.qkv.forward(p, kept.normed, kept.qkv);
        b.qk.forward(p, kept.qkv);
        attend_in_block(i, kept);
        b.out.forward(p, kept.attended, work.branch);
        kept.x_middle = kept.x + work.branch;

        b.before_mlp.forward(p, kept.x_middle, kept.normed_middle);
        b.up.forward(p, kept.normed_middle, kept.hidden);
        silu::forward(kept.hidden, kept.activated);
        b.down.forward(p, kept.activated, work.branch);
        work.x = kept.x_middle + work.branch;
    }
    last_norm.forward(p, work.x, work.normed);
    to_logits.forward(p, work.normed, work.logits);
}

/// Forward over whole windows, one behind the other.
template <class Scalar>
void transformer<Scalar>::parts::forward_windows(const Scalar* p, std::span<const token> inputs,
                                                 index sequences, workspace& work,
                                                 auto attend_in_block) const {
    const index length = static_cast<index>(inputs.size()) / sequences;
    const auto shift = [&](std::size_t, matrix<Scalar>& x) { token_shift::forward(x, length); };
    forward(p, inputs, work, shift, attend_in_block);
}

/// Backward: the same way from the end. work.logits hold their own gradient, d_x becomes that of
/// the residual stream.
template <class Scalar>
void transformer<Scalar>::parts::backward(const Scalar* p, Scalar* g, std::span<const token> inputs,
                                          index sequences, workspace& work) const {
    to_logits.backward(p, g, work.normed, work.logits, work.d_branch);
    work.d_x.setZero(work.x.rows(), work.x.cols());
    last_norm.backward(p, g, work.x, work.d_branch, work.d_x);
    for (std::size_t i = blocks.size(); i-- > 0;) {
        const block& b = blocks[i];
        const auto& kept = work.blocks[i];
        b.down.backward(p, g, kept.activated, work.d_x, work.d_hidden);
        silu::backward(kept.hidden, work.d_hidden);
        b.up.backward(p, g, kept.normed_middle, work.d_hidden, work.d_branch);
        b.before_mlp.backward(p, g, kept.x_middle, work.d_branch, work.d_x);

        b.out.backward(p, g, kept.attended, work.d_x, work.d_attended);
        attend[i]->backward(work.d_attended, kept.attended, *kept.stats, kept.qkv, sequences,
                            work.d_qkv);
        b.qk.backward(g, work.d_qkv);
        b.qkv.backward(p, g, kept.normed, work.d_qkv, work.d_branch);
        if (sizes.token_shift)
            token_shift::backward(work.d_branch, work.d_branch.rows() / sequences);
        b.before_attention.backward(p, g, kept.x, work.d_branch, work.d_x);
    }
    embed.backward(g, inputs, work.d_x);
}

template <class Scalar>
double transformer<Scalar>::loss_and_gradient(std::span<const Scalar> parameters,
                                              std::span<const token> inputs,
                                              std::span<const token> targets, index sequences,
                                              index first_window, index count, workspace& work,
                                              std::span<Scalar> gradient) const {
    const auto attend = [&](std::size_t i, auto& kept) {
        parts_->attend[i]->forward(kept.qkv, sequences, first_window, kept.attended, *kept.stats);
    };
    parts_->forward_windows(parameters.data(), inputs, sequences, work, attend);
    const double loss = cross_entropy::forward_backward(work.logits, targets, count);
    parts_->backward(parameters.data(), gradient.data(), inputs, sequences, work);
    return loss;
}

template <class Scalar>
const matrix<Scalar>& transformer<Scalar>::infer(std::span<const Scalar> parameters,
                                                 std::span<const token> inputs, index sequences,
                                                 score_scale scale, workspace& work) const {
    const auto attend = [&](std::size_t i, auto& kept) {
        parts_->attend[i]->infer(kept.qkv, sequences, scale, kept.attended);
    };
    parts_->forward_windows(parameters.data(), inputs, sequences, work, attend);
    return work.logits;
}

template <class Scalar>
const matrix<Scalar>& transformer<Scalar>::step(std::span<const Scalar> parameters, token next,
                                                cache& seen) const {
    const auto attend = [&](std::size_t i, auto& kept) {
        parts_->attend[i]->decode(kept.qkv, *seen.seen[i], parts_->sizes.scale, kept.attended);
    };
    const auto shift = [&](std::size_t i, matrix<Scalar>& x) {
        token_shift::step(x, seen.shifted[i]);
    };
    ++seen.length;
    parts_->forward(parameters.data(), std::span<const token>(&next, 1), *seen.work, shift, attend);
    return seen.work->logits;
}

template <class Scalar>
matrix<Scalar> transformer<Scalar>::attention_weights(std::span<const Scalar> parameters,
                                                      std::span<const token> inputs, index layer,
                                                      index head, workspace& work) const {
    infer(parameters, inputs, 1, parts_->sizes.scale, work);
    const auto i = std::size_t(layer);
    return parts_->attend[i]->weights(work.blocks[i].qkv, head, parts_->sizes.scale);
}

template <class Scalar>
matrix<Scalar> transformer<Scalar>::attention_entropies(std::span<const Scalar> parameters,
                                                        std::span<const token> inputs,
                                                        score_scale scale, workspace& work) const {
    infer(parameters, inputs, 1, scale, work);
    const index heads = parts_->sizes.heads;
    matrix<Scalar> all(parts_->sizes.layers * heads, static_cast<index>(inputs.size()));
    for (index layer = 0; layer < parts_->sizes.layers; ++layer) {
        const auto i = std::size_t(layer);
        all.middleRows(layer * heads, heads) =
            parts_->attend[i]->entropies(work.blocks[i].qkv, scale);
    }
    return all;
}

}  // namespace char_lm
