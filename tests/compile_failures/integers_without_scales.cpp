// The compiler says: heed: integers have scales: heed::weights(integers, scales)

#include <cstdint>

#include <heed/heed.hpp>

int main() {
    const Eigen::Matrix<std::int8_t, Eigen::Dynamic, Eigen::Dynamic> weight(3, 8);
    heed::project(Eigen::MatrixXf(4, 8), heed::weights(weight));
}
