// Keys of the distance (Shaw et al.): a step down the gradient of them and of q lowers the loss by
// what the gradient says.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<double, 4, Eigen::RowMajor>;

int main() {
    const int batch = 2, heads = 3, length = 20, dim = 8, reach = 4;
    tensor q(batch, heads, length, dim), k(q.dimensions()), v(q.dimensions()), target(v);
    for (tensor* x : {&q, &k, &v, &target}) x->setRandom();
    Eigen::MatrixXd r = Eigen::MatrixXd::Random(2 * reach + 1, dim);  // row reach + j − i
    const double c = 1 / std::sqrt(dim);

    const auto relative = [&] {  // c·q_i·r_(j − i) for each query and distance
        return heed::learn(heed::relative_scores(heed::project(q, heed::weights(c * r))));
    };
    const auto loss = [&] {
        const tensor error = heed::attention(q, k, v, heed::causal, relative()) - target;
        return Eigen::Tensor<double, 0, Eigen::RowMajor>(error.square().sum())() / 2;
    };
    const double before = loss();
    const auto [o, stats] = heed::attention_forward(q, k, v, heed::causal, relative());
    const tensor d_o = o - target;
    const auto grad = heed::attention_backward(d_o, o, stats, q, k, v, heed::causal, relative());
    const auto of_scores = heed::project_backward(grad.of<0>(), q, heed::weights(c * r));
    const tensor dq = grad.q + of_scores.x;  // q meets the keys, and those of the distance
    const Eigen::MatrixXd dr = c * of_scores.weight;

    const double step = 1e-4;
    q -= step * dq;
    r -= step * dr;
    const double slope = Eigen::Tensor<double, 0, Eigen::RowMajor>(dq.square().sum())();
    const double promised = step * (slope + dr.squaredNorm()), got = before - loss();
    std::cout << "the loss falls by " << got << ", the gradient says " << promised << '\n';
    return std::abs(got - promised) < 1e-2 * promised ? 0 : 1;
}
