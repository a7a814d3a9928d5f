// Linear attention keeps a state, not a cache: a prompt in one call, then token by token, with the
// very bits of one call for all. The memory that it takes does not grow.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int length = 200, prompt = 150, dim = 16;
    Eigen::MatrixXf q(length, dim), k(length, dim), v(length, dim), o(length, dim);
    q.setRandom();
    k.setRandom();
    v.setRandom();
    const heed::random_features directions({.dim = dim, .count = 64, .seed = 1});
    const auto map = heed::favor(directions);  // estimates softmax attention

    heed::linear_state<float> state;
    const auto go_on = [&](int first, int count) {
        heed::linear_attention_into(o.middleRows(first, count), q.middleRows(first, count),
                                    k.middleRows(first, count), v.middleRows(first, count),
                                    heed::causal, map, heed::carry(state));
    };
    go_on(0, prompt);
    for (int token = prompt; token < length; ++token) go_on(token, 1);

    const Eigen::MatrixXf whole = heed::linear_attention(q, k, v, heed::causal, map);
    const Eigen::MatrixXf softmax = heed::attention(q, k, v, heed::causal);
    std::cout << "pieces differ from one call by " << (o - whole).cwiseAbs().maxCoeff()
              << ", FAVOR+ from softmax by " << (o - softmax).cwiseAbs().maxCoeff() << '\n';
    return o == whole && state.length() == length ? 0 : 1;
}
