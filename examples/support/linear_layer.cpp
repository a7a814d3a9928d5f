#include "linear_layer.hpp"

#include <heed/projection/project.hpp>

namespace examples {

namespace {

template <class Packed>
Packed packed(const matrix& weight, const std::optional<Eigen::VectorXf>& bias) {
    return bias ? Packed(weight, *bias) : Packed(weight);
}

}  // namespace

linear_layer::linear_layer(const matrix& weight, const std::optional<Eigen::VectorXf>& bias,
                           precision stored)
    : weights_([&]() -> decltype(weights_) {
          switch (stored) {
              case precision::bfloat16:
                  return packed<heed::packed_weights<Eigen::bfloat16>>(weight, bias);
              case precision::int8:
                  return packed<heed::packed_weights<std::int8_t>>(weight, bias);
              case precision::float32:
                  break;
          }
          return packed<heed::packed_weights<float>>(weight, bias);
      }()) {}

matrix linear_layer::operator()(const matrix& x, const heed::on_pool& threads) const {
    return std::visit([&](const auto& weights) { return heed::project(x, weights, threads); },
                      weights_);
}

}  // namespace examples
