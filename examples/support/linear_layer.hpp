#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include <heed/core/parallel.hpp>
#include <heed/projection/packed_weights.hpp>

#include "stored_tensor.hpp"

namespace examples {

/// What a model or a cache keeps its numbers in; sums are in float.
enum class precision { float32, bfloat16, int8 };

/// y = x·Wᵀ + b with weights in a precision that is chosen at run time: heed::project. A row of y
/// has the same bits for any number of rows.
class linear_layer {
  public:
    linear_layer(const matrix& weight, const std::optional<Eigen::VectorXf>& bias,
                 precision stored);

    [[nodiscard]] matrix operator()(const matrix& x, const heed::on_pool& threads) const;

  private:
    std::variant<heed::packed_weights<float>, heed::packed_weights<Eigen::bfloat16>,
                 heed::packed_weights<std::int8_t>>
        weights_;
};

}  // namespace examples
