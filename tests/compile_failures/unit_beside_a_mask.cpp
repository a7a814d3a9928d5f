// The compiler says: heed: behind its tensors a recurrent unit takes heed::on, heed::in and
#include <heed/heed.hpp>

void run(const Eigen::MatrixXf& x, const Eigen::VectorXf& numbers) {
    heed::rwkv(numbers, numbers)(x, x, x, heed::causal);
}

int main() {}
