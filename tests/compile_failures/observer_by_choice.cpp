// The compiler says: heed: an observer that is optional or one of several writes to memory of yours

#include <optional>

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto result = heed::attention_forward(q, k, v, std::optional(heed::row_entropy));
}
