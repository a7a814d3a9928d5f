#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "matrix.hpp"

namespace char_lm {

/// AdamW (arXiv 1711.05101): m and v are running means of the gradient and of its square;
/// a step goes by m̂/(√v̂ + ε), and weight decay is apart from the gradient.
class adamw {
  public:
    struct settings {
        float beta_1 = 0.9F;
        float beta_2 = 0.98F;
        float epsilon = 1e-8F;
        float weight_decay = 0.1F;
    };

    explicit adamw(index parameters, settings s)
        : settings_(s), m_(std::size_t(parameters), 0.0F), v_(std::size_t(parameters), 0.0F) {}

    /// Call once a step, before the updates of its pieces.
    void next_step() {
        ++step_;
        correction_1_ = 1 / (1 - std::pow(settings_.beta_1, float(step_)));
        correction_2_ = 1 / (1 - std::pow(settings_.beta_2, float(step_)));
    }

    /// Updates parameters [first, first + count) by gradient·factor. Pieces do not touch one
    /// another, so that threads may share them out.
    void update(std::span<float> parameters, std::span<const float> gradient, float factor,
                float learning_rate, bool decays, index first, index count) {
        using map = Eigen::Map<Eigen::ArrayXf>;
        using constant_map = Eigen::Map<const Eigen::ArrayXf>;
        map p(parameters.data() + first, count);
        map m(m_.data() + first, count);
        map v(v_.data() + first, count);
        const constant_map g(gradient.data() + first, count);
        m = settings_.beta_1 * m + ((1 - settings_.beta_1) * factor) * g;
        v = settings_.beta_2 * v + ((1 - settings_.beta_2) * factor * factor) * g.square();
        if (decays) p *= 1 - learning_rate * settings_.weight_decay;
        p -= (learning_rate * correction_1_) * m / ((correction_2_ * v).sqrt() + settings_.epsilon);
    }

  private:
    settings settings_;
    flat_vector<float> m_, v_;
    int step_ = 0;
    float correction_1_ = 1;
    float correction_2_ = 1;
};

}  // namespace char_lm
