// Trains through a sequence that is read in two pieces: the gradient of the state between them goes
// from the second piece to the first, and there is one of the state that the sequence began with.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
    tensor x(1, 2, 60, 16), y(1, 2, 40, 16);  // q, k and v of the pieces
    x.setRandom();
    y.setRandom();
    const auto decay = heed::decay(0.98);

    heed::linear_state<float> state;
    auto [o1, stats1] =
        heed::linear_attention_forward(x, x, x, heed::causal, decay, heed::carry(state));
    auto between = state;  // backward of the second piece needs it as it is now
    auto [o2, stats2] =
        heed::linear_attention_forward(y, y, y, heed::causal, decay, heed::carry(state));

    const tensor d_o1 = o1 - x, d_o2 = o2 - y;  // of ½‖o − x‖²
    const auto grad2 = heed::linear_attention_backward(d_o2, o2, stats2, y, y, y, heed::causal,
                                                       decay, heed::carry(between));
    heed::linear_state<float> nothing;  // what the first piece went on from
    const auto grad1 =
        heed::linear_attention_backward(d_o1, o1, stats1, x, x, x, heed::causal, decay,
                                        heed::carry(nothing), heed::state_gradient(grad2.state));

    std::cout << "dk of the last token of the first piece: " << grad1.k(0, 0, 59, 0)
              << ", dS of the first state: " << grad1.state.matrices(0, 0, 0, 0) << '\n';
}
