// Keys in three parts, as if they lay on three machines: each attends to its own, what they find is
// merged to the whole, and their gradients are parts of the whole's.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int queries = 20, keys = 90, dim = 16, third = keys / 3;
    Eigen::MatrixXd q(queries, dim), k(keys, dim), v(keys, dim);
    q.setRandom();
    k.setRandom();
    v.setRandom();
    const auto k_of = [&](int part) { return k.middleRows(part * third, third); };
    const auto v_of = [&](int part) { return v.middleRows(part * third, third); };

    auto [o, stats] = heed::attention_forward(q, k_of(0), v_of(0), heed::soft_cap(5));
    for (int part : {1, 2}) {
        const auto [o_part, stats_part] =
            heed::attention_forward(q, k_of(part), v_of(part), heed::soft_cap(5));
        heed::merge(o, stats, o_part, stats_part);
    }
    const auto [whole, whole_stats] = heed::attention_forward(q, k, v, heed::soft_cap(5));
    double difference = (o - whole).cwiseAbs().maxCoeff();

    const auto expected =
        heed::attention_backward(whole, whole, whole_stats, q, k, v, heed::soft_cap(5));
    Eigen::MatrixXd dq = Eigen::MatrixXd::Zero(queries, dim);
    for (int part : {0, 1, 2}) {
        const auto grad =
            heed::attention_backward(whole, o, stats, q, k_of(part), v_of(part), heed::soft_cap(5));
        dq += grad.q;  // a sum; dk and dv of a part are whole
        const auto dk = expected.k.middleRows(part * third, third);
        difference = std::max(difference, (grad.k - dk).cwiseAbs().maxCoeff());
    }
    difference = std::max(difference, (dq - expected.q).cwiseAbs().maxCoeff());
    std::cout << "largest difference from one call: " << difference << '\n';
    return difference < 1e-12 ? 0 : 1;
}
