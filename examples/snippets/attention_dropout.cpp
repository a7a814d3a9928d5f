// Dropout of attention's probabilities: a sequence of a batch has its own, which its id tells and
// not its place; and their mean over many seeds is attention without dropout.
#include <cstdint>
#include <iostream>
#include <vector>

#include <heed/heed.hpp>

int main() {
    using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
    tensor q(2, 2, 8, 4), k(2, 2, 8, 4), v(2, 2, 8, 4);
    for (tensor* x : {&q, &k, &v}) x->setRandom();
    const tensor without = heed::attention(q, k, v, heed::causal);

    // The same examples in another order: shuffled for the next epoch, say.
    const Eigen::array<bool, 4> batch{true, false, false, false};
    const auto exchanged = [&](const tensor& x) -> tensor { return x.reverse(batch); };
    const std::vector<int> ids{30, 41}, exchanged_ids{41, 30};
    const heed::dropout_options options{.rate = 0.25, .seed = 7};
    const tensor o = heed::attention(q, k, v, heed::causal, heed::dropout(options, ids));
    const tensor p = heed::attention(exchanged(q), exchanged(k), exchanged(v), heed::causal,
                                     heed::dropout(options, exchanged_ids));
    const Eigen::Tensor<float, 0, Eigen::RowMajor> apart = (exchanged(p) - o).abs().maximum();

    tensor mean = o.constant(0);
    const int steps = 4000;
    for (int step = 0; step < steps; ++step) {
        const auto drop = heed::dropout({.rate = 0.25, .seed = static_cast<std::uint64_t>(step)});
        mean += heed::attention(q, k, v, heed::causal, drop) / static_cast<float>(steps);
    }
    const Eigen::Tensor<float, 0, Eigen::RowMajor> error = (mean - without).abs().maximum();
    std::cout << "in another order: " << apart() << " apart; the mean of " << steps
              << " steps: " << error() << " from attention without dropout\n";
    return apart() == 0 && error() < 0.05F ? 0 : 1;
}
