// The compiler says: heed: a part of role scale needs on_row(query_row, attention_shape, visible)

#include <heed/heed.hpp>

struct knows_no_shape : heed::scale_base {
    double on_row(const heed::query_row&) const { return 1; }
};

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, knows_no_shape{});
}
