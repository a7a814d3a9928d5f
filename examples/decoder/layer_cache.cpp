#include "layer_cache.hpp"

#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/split_heads.hpp>
#include <heed/rope/rotary.hpp>

namespace decoder {

layer_cache::layer_cache(const configuration& sizes, precision stored)
    : heads_(sizes.heads), kv_heads_(sizes.kv_heads), cache_([&]() -> decltype(cache_) {
          heed::kv_cache_options options{.kv_heads = sizes.kv_heads, .dim = sizes.dim};
          if (sizes.window > 0) options.window = sizes.window;
          const auto rope = heed::rotary(heed::rope::frequencies(sizes.rope));
          switch (stored) {
              case precision::bfloat16:
                  return heed::kv_cache<Eigen::bfloat16>(options, rope);
              case precision::int8:
                  return heed::kv_cache<std::int8_t>(options, rope);
              case precision::float32:
                  break;
          }
          return heed::kv_cache<float>(options, rope);
      }()) {}

void layer_cache::attend(Eigen::Ref<matrix> out, const Eigen::Ref<const matrix>& q,
                         const Eigen::Ref<const matrix>& k, const Eigen::Ref<const matrix>& v,
                         const heed::on_pool& threads) {
    std::visit(
        [&](auto& cache) {
            cache.append(0, heed::split_heads(k, kv_heads_), heed::split_heads(v, kv_heads_));
            heed::attention_into(heed::split_heads(out, heads_), heed::split_heads(q, heads_),
                                 cache, heed::causal, threads);
        },
        cache_);
}

index layer_cache::length() const {
    return std::visit([](const auto& cache) { return cache.length(0); }, cache_);
}

}  // namespace decoder
