#include "check.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include <heed/attention/masks/causal.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate.hpp>

#include "decode.hpp"

namespace context_parallel {

namespace {

/// The whole sequence's.
struct problem {
    tensor q, k, v, d_o;

    problem(const model_shape& m, index tokens, std::uint64_t seed)
        : q(m.batch, m.heads, tokens, m.dim),
          k(m.batch, m.kv_heads, tokens, m.dim),
          v(m.batch, m.kv_heads, tokens, m.dim),
          d_o(m.batch, m.heads, tokens, m.dim) {
        std::mt19937_64 random(seed);
        std::normal_distribution<float> normal;
        for (tensor* x : {&q, &k, &v, &d_o})
            for (index i = 0; i < x->size(); ++i) x->data()[i] = normal(random);
    }
};

tensor tokens_of(const tensor& x, const stretch& at) {
    const Eigen::array<index, 4> first{0, 0, at.first, 0};
    const Eigen::array<index, 4> size{x.dimension(0), x.dimension(1), at.count(), x.dimension(3)};
    if (at.count() == 0) return tensor(size);  // Eigen's slices of nothing are undefined
    return x.slice(first, size);
}

tensor as_sent(const tensor& x, number wire) {
    if (wire == number::float32) return x;
    return x.cast<Eigen::bfloat16>().cast<float>();
}

double largest_magnitude(const tensor& x) {
    double largest = 0;
    for (index i = 0; i < x.size(); ++i)
        largest = std::max(largest, std::abs(static_cast<double>(x.data()[i])));
    return largest;
}

/// Over the largest number of the whole; a NaN is infinitely far.
double difference(const tensor& part, const tensor& whole, const stretch& at) {
    const tensor expected = tokens_of(whole, at);
    double largest = 0;
    for (index i = 0; i < part.size(); ++i) {
        const double d =
            std::abs(static_cast<double>(part.data()[i]) - static_cast<double>(expected.data()[i]));
        if (!(d <= largest)) largest = std::isnan(d) ? HUGE_VAL : d;
    }
    return largest == 0 ? 0 : largest / largest_magnitude(whole);
}

/// One more token, at the end, over caches of what each rank holds of the keys.
double compare_decoding(const cluster& ranks, const ring_settings& settings, const tensor& q,
                        const tensor& k, const tensor& v) {
    const model_shape& m = settings.model;
    const auto own = stretches_of(ranks.rank(), ranks.size(), settings.tokens, settings.placed);
    heed::kv_cache<float> cache({.batch = m.batch,
                                 .kv_heads = m.kv_heads,
                                 .dim = m.dim,
                                 .value_dim = m.dim,
                                 .capacity = std::max<index>(1, tokens_of(own))});
    for (const stretch& at : own)
        if (at.count() > 0) cache.append(tokens_of(k, at), tokens_of(v, at));
    const tensor last = tokens_of(q, {settings.tokens - 1, settings.tokens});
    account spent;
    const tensor together = decode(ranks, last, cache, spent);
    const tensor alone = heed::attention(last, k, v);
    return difference(together, alone, {0, 1});
}

}  // namespace

differences compare_with_one_process(const cluster& ranks, const ring_settings& settings,
                                     std::uint64_t seed) {
    const problem all(settings.model, settings.tokens, seed);
    const auto own = stretches_of(ranks.rank(), ranks.size(), settings.tokens, settings.placed);
    std::vector<piece> pieces;
    std::vector<tensor> d_o;
    for (const stretch& at : own) {
        pieces.push_back({at, tokens_of(all.q, at), tokens_of(all.k, at), tokens_of(all.v, at)});
        d_o.push_back(tokens_of(all.d_o, at));
    }
    ring_attention ring(ranks, settings);
    const auto found = ring.forward(pieces);
    const auto gradients = ring.backward(d_o, found, pieces);

    const auto rope = heed::rope::plain({.dim = settings.model.dim, .base = settings.rope_base});
    const tensor q = heed::rotate(all.q, rope);
    const tensor k = as_sent(heed::rotate(all.k, rope), settings.wire);
    const tensor v = as_sent(all.v, settings.wire);
    const auto causal = settings.causal ? std::optional(heed::causal) : std::nullopt;
    const auto [o, stats] = heed::attention_forward(q, k, v, causal);
    auto whole = heed::attention_backward(all.d_o, o, stats, q, k, v, causal);
    heed::rotate_back_into(whole.q, whole.q, rope);
    heed::rotate_back_into(whole.k, whole.k, rope);

    differences of;
    for (std::size_t p = 0; p < pieces.size(); ++p) {
        of.o = std::max(of.o, difference(found[p].o, o, own[p]));
        of.dq = std::max(of.dq, difference(gradients[p].q, whole.q, own[p]));
        of.dk = std::max(of.dk, difference(gradients[p].k, whole.k, own[p]));
        of.dv = std::max(of.dv, difference(gradients[p].v, whole.v, own[p]));
    }
    of.decoded = compare_decoding(ranks, settings, q, k, v);
    for (double* x : {&of.o, &of.dq, &of.dk, &of.dv, &of.decoded}) *x = ranks.largest(*x);
    return of;
}

std::vector<piece> random_pieces(const cluster& ranks, const ring_settings& settings,
                                 std::uint64_t seed) {
    std::vector<piece> pieces;
    for (const stretch& at :
         stretches_of(ranks.rank(), ranks.size(), settings.tokens, settings.placed)) {
        const auto first = static_cast<std::uint64_t>(at.first);
        const problem own(settings.model, at.count(), seed + first);
        pieces.push_back({at, own.q, own.k, own.v});
    }
    return pieces;
}

}  // namespace context_parallel
