#include "ring.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <utility>

#include <heed/attention/masks/causal.hpp>
#include <heed/distributed/merge.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate.hpp>

namespace context_parallel {

namespace {

enum tag { keys_and_values_tag, gradients_tag };

auto frequencies(const ring_settings& settings) {
    return heed::rope::plain({.dim = settings.model.dim, .base = settings.rope_base});
}

/// Adds the keys of one stretch to what a piece has attended to.
void attend(const piece& own, const keys_and_values& keys, sight seen, attended& whole) {
    attended part{tensor(own.q.dimensions()), {}};
    attended& to = whole.o.size() == 0 ? whole : part;
    if (&to == &whole) whole.o.resize(own.q.dimensions());
    if (seen == sight::up_to_themselves)
        heed::attention_forward_into(to.o, to.stats, own.q, keys.k, keys.v, heed::causal);
    else
        heed::attention_forward_into(to.o, to.stats, own.q, keys.k, keys.v);
    if (&to == &part) heed::merge(whole.o, whole.stats, part.o, part.stats);
}

/// Gradients of the k and v of all stretches of a block, as keys and values lie on the wire.
class block_gradient {
  public:
    block_gradient(const model_shape& model, const std::vector<stretch>& stretches)
        : model_(model),
          stretches_(stretches),
          numbers_(static_cast<std::size_t>(model.keys_and_values(tokens_of(stretches)))) {}

    std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(numbers_)); }

    /// Those of k (0) or of v (1) of the n-th stretch.
    Eigen::TensorMap<tensor> of(std::size_t n, index which) {
        index first = 0;
        for (std::size_t i = 0; i < n; ++i) first += model_.keys_and_values(stretches_[i].count());
        const index count = stretches_[n].count();
        return {numbers_.data() + first + which * model_.keys_and_values(count) / 2, model_.batch,
                model_.kv_heads, count, model_.dim};
    }
    void add(const block_gradient& other) {
        for (std::size_t i = 0; i < numbers_.size(); ++i) numbers_[i] += other.numbers_[i];
    }

  private:
    model_shape model_;
    std::vector<stretch> stretches_;
    std::vector<float> numbers_;
};

}  // namespace

template <class F>
void ring_attention::for_each_block(const std::vector<piece>& pieces, F&& f) {
    wire_block now(settings_.wire, settings_.model), coming(settings_.wire, settings_.model);
    now.pack(pieces);
    for (int step = 0; step < ranks_.size(); ++step) {
        const int owner = (ranks_.rank() - step + ranks_.size()) % ranks_.size();
        transfer in, out;
        if (step + 1 < ranks_.size()) {
            coming.make_room(stretches_of((owner + ranks_.size() - 1) % ranks_.size()));
            in = transfer::receive(coming.bytes(), ranks_.previous(), keys_and_values_tag);
            out = transfer::send(now.bytes(), ranks_.next(), keys_and_values_tag, account_);
        }
        if (!settings_.overlaps) in.wait(account_), out.wait(account_);
        const double began = MPI_Wtime();
        const double waited = account_.waiting;
        f(now.open(), owner, [&] { in.progress(), out.progress(); });
        account_.computing += MPI_Wtime() - began - (account_.waiting - waited);
        in.wait(account_), out.wait(account_);
        std::swap(now, coming);
    }
}

std::vector<attended> ring_attention::forward(std::vector<piece>& pieces) {
    const auto rope = frequencies(settings_);
    for (piece& own : pieces) {
        heed::rotate_into(own.q, own.q, rope, own.at.first);
        heed::rotate_into(own.k, own.k, rope, own.at.first);
    }
    std::vector<attended> result(pieces.size());
    for_each_block(pieces,
                   [&](const std::vector<keys_and_values>& block, int owner, const auto& progress) {
                       if (settings_.failing_rank == ranks_.rank() &&
                           (owner != ranks_.rank() || ranks_.size() == 1))
                           throw std::runtime_error("fails, as it was told to");
                       for (std::size_t p = 0; p < pieces.size(); ++p) {
                           for (const keys_and_values& keys : block) {
                               const sight seen = sight_of(pieces[p].at, keys.at, settings_.causal);
                               if (seen != sight::nothing) attend(pieces[p], keys, seen, result[p]);
                               progress();
                           }
                       }
                   });
    return result;
}

std::vector<piece_gradient> ring_attention::backward(const std::vector<tensor>& d_o,
                                                     const std::vector<attended>& done,
                                                     const std::vector<piece>& pieces) {
    std::vector<piece_gradient> result(pieces.size());
    for (std::size_t p = 0; p < pieces.size(); ++p) {
        result[p].q.resize(pieces[p].q.dimensions());
        result[p].q.setZero();
    }
    // The sums of a block's gradients follow it round the ring: each rank adds its own to what
    // comes from the one before, and the last one sends them home.
    block_gradient leaving(settings_.model, {});
    transfer out;
    for_each_block(
        pieces, [&](const std::vector<keys_and_values>& block, int owner, const auto& progress) {
            block_gradient own(settings_.model, stretches_of(owner)), coming = own;
            transfer in;
            if (owner != ranks_.rank())
                in = transfer::receive(coming.bytes(), ranks_.previous(), gradients_tag);
            for (std::size_t p = 0; p < pieces.size(); ++p) {
                for (std::size_t n = 0; n < block.size(); ++n) {
                    const keys_and_values& keys = block[n];
                    const sight seen = sight_of(pieces[p].at, keys.at, settings_.causal);
                    if (seen == sight::nothing) continue;
                    piece_gradient part{tensor(pieces[p].q.dimensions()), tensor(keys.k.extents),
                                        tensor(keys.v.extents)};
                    const auto to = heed::into(part.q, part.k, part.v);
                    if (seen == sight::up_to_themselves)
                        heed::attention_backward_into(to, d_o[p], done[p].o, done[p].stats,
                                                      pieces[p].q, keys.k, keys.v, heed::causal);
                    else
                        heed::attention_backward_into(to, d_o[p], done[p].o, done[p].stats,
                                                      pieces[p].q, keys.k, keys.v);
                    result[p].q += part.q;
                    own.of(n, 0) += part.k;
                    own.of(n, 1) += part.v;
                    progress(), in.progress(), out.progress();
                }
            }
            in.wait(account_);
            own.add(coming);
            out.wait(account_);
            leaving = std::move(own);
            if (ranks_.size() > 1)
                out = transfer::send(leaving.bytes(), ranks_.next(), gradients_tag, account_);
        });
    block_gradient home =
        ranks_.size() > 1 ? block_gradient(settings_.model, stretches_of(ranks_.rank())) : leaving;
    if (ranks_.size() > 1)
        transfer::receive(home.bytes(), ranks_.previous(), gradients_tag).wait(account_);
    out.wait(account_);

    const auto rope = frequencies(settings_);
    for (std::size_t p = 0; p < pieces.size(); ++p) {
        result[p].k = home.of(p, 0);
        result[p].v = home.of(p, 1);
        heed::rotate_back_into(result[p].q, result[p].q, rope, pieces[p].at.first);
        heed::rotate_back_into(result[p].k, result[p].k, rope, pieces[p].at.first);
    }
    return result;
}

}  // namespace context_parallel
