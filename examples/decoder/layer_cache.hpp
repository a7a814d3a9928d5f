#pragma once

#include <cstdint>
#include <variant>

#include <heed/attention/caches/kv_cache.hpp>
#include <heed/core/parallel.hpp>

#include "configuration.hpp"
#include "support/linear_layer.hpp"

namespace decoder {

using examples::matrix;
using examples::precision;

/// The keys and values of one layer and one text, in a precision that is chosen at run time.
class layer_cache {
  public:
    layer_cache(const configuration& sizes, precision stored);

    /// Appends k and v, a token a row, and lets the same tokens attend to all that there is: each
    /// to itself and what stands before it.
    void attend(Eigen::Ref<matrix> out, const Eigen::Ref<const matrix>& q,
                const Eigen::Ref<const matrix>& k, const Eigen::Ref<const matrix>& v,
                const heed::on_pool& threads);

    /// Tokens that have been read.
    [[nodiscard]] index length() const;

  private:
    index heads_, kv_heads_;
    std::variant<heed::kv_cache<float>, heed::kv_cache<Eigen::bfloat16>,
                 heed::kv_cache<std::int8_t>>
        cache_;
};

}  // namespace decoder
