// The compiler says: heed: the parameters of a recurrent unit have the scalar of its tensors
#include <heed/heed.hpp>

void run(const Eigen::MatrixXd& u, const Eigen::VectorXf& numbers) {
    heed::real_linear_recurrent_unit(numbers, numbers)(u);
}

int main() {}
