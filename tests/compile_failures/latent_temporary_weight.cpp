// The compiler says: heed: weights of latent attention stay where they lie, and have its scalar

#include <heed/heed.hpp>

int main() {
    heed::latent_weights<float> weights;
    weights.q_proj = Eigen::MatrixXf(4, 8);
}
