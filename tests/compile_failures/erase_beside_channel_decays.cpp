// The compiler says: heed: heed::erase goes with decays of a number a token, not with those of a
#include <heed/heed.hpp>

int main() {
    Eigen::Tensor<float, 4, Eigen::RowMajor> x(1, 1, 4, 4);
    x.setRandom();
    return static_cast<int>(
        heed::linear_attention(x, x, x, heed::causal, heed::log_decay(x), heed::erase(x, x))
            .size());
}
