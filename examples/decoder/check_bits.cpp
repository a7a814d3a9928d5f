#include "check_bits.hpp"

#include <algorithm>
#include <cstring>

namespace decoder {

namespace {

/// The logits of all tokens, read `chunk` at a time.
matrix read_in_chunks(const transformer& model, std::span<const token> text, std::size_t chunk,
                      precision cache, const heed::on_pool& threads) {
    text_cache read = model.make_cache(cache);
    matrix logits(static_cast<index>(text.size()), model.sizes().vocabulary);
    for (std::size_t at = 0; at < text.size(); at += chunk) {
        const piece now{&read, text.subspan(at, std::min(chunk, text.size() - at))};
        logits.middleRows(static_cast<index>(at), static_cast<index>(now.tokens.size())) =
            model.read({&now, 1}, wanted::all, threads);
    }
    return logits;
}

/// The same as one of two texts: the other is what this one has beside its first token.
matrix read_beside_another(const transformer& model, std::span<const token> text, precision cache,
                           const heed::on_pool& threads) {
    text_cache other = model.make_cache(cache), read = model.make_cache(cache);
    const std::vector<piece> pieces{{&other, text.last(std::max<std::size_t>(1, text.size() - 1))},
                                    {&read, text}};
    return model.read(pieces, wanted::all, threads).bottomRows(static_cast<index>(text.size()));
}

bool same_bits(const matrix& a, const matrix& b) {
    return std::memcmp(a.data(), b.data(), std::size_t(a.size()) * sizeof(float)) == 0;
}

}  // namespace

std::vector<way_of_reading> check_bits(const transformer& model, std::span<const token> text,
                                       precision cache, const heed::on_pool& threads) {
    const auto in_chunks = [&](std::size_t chunk, const heed::on_pool& on) {
        return read_in_chunks(model, text, chunk, cache, on);
    };
    const matrix whole = in_chunks(text.size(), threads);
    return {
        {"in chunks of 5", same_bits(whole, in_chunks(5, threads))},
        {"token by token", same_bits(whole, in_chunks(1, threads))},
        {"beside another text", same_bits(whole, read_beside_another(model, text, cache, threads))},
        {"on one thread", same_bits(whole, in_chunks(text.size(), {nullptr}))}};
}

}  // namespace decoder
