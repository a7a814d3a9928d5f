// Score modifiers and scales give what PyTorch gives, forward and backward, with the gradients of
// what is learned.

#include "golden_attention.hpp"

namespace golden {

TEST_CASE("a learned bias is PyTorch's", "[golden]") {
    for (const char* name : {"bias", "bias_of_keys"}) {
        const auto bias = load("attention", name).tensor<float, 4>("bias");
        check_attention<float>("attention", name, "bias", heed::learn(heed::bias(bias)));
    }
    const auto bias = load("attention", "bias_of_heads").tensor<float, 4>("bias");
    check_attention<float>("attention", "bias_of_heads", "bias", heed::learn(heed::bias(bias)),
                           heed::causal);
}

TEST_CASE("ALiBi with learned slopes is PyTorch's", "[golden]") {
    const auto slopes = load("attention", "alibi").numbers<float>("slopes");
    check_attention<float>("attention", "alibi", "slopes", heed::causal,
                           heed::learn(heed::alibi(slopes)));
}

TEST_CASE("the soft cap is PyTorch's", "[golden]") {
    check_attention<float>("attention", "soft_cap", "cap", heed::causal,
                           heed::learn(heed::soft_cap(1.5)));
}

TEST_CASE("modifiers apply from left to right, as composed in PyTorch", "[golden]") {
    const example& x = load("attention", "modifiers_in_order");
    const auto bias = x.tensor<double, 4>("bias");
    const auto slopes = x.numbers<double>("slopes");
    check_attention<double>("attention", "modifiers_in_order", "bias",
                            heed::learn(heed::bias(bias)), heed::soft_cap(1.5), heed::causal,
                            heed::alibi(slopes));
}

TEST_CASE("a learned scale a head is PyTorch's", "[golden]") {
    const auto scale = load("attention", "scale_of_heads").numbers<float>("scale");
    check_attention<float>("attention", "scale_of_heads", "scale", heed::learn(heed::scale(scale)));
}

TEST_CASE("log n scales are as composed in PyTorch", "[golden]") {
    check_attention<float>("attention", "log_n", "", heed::causal, heed::log_n_scale(8));
    check_attention<float>("attention", "log_n_after_training", "", heed::causal,
                           heed::log_n_scale_after_training(6));
}

TEST_CASE("norms of keys and queries are PyTorch's", "[golden]") {
    check_attention<float>("attention", "key_norm", "", heed::key_norm);
    check_attention<float>("attention", "cosine", "", heed::cosine.scale(6));
}

}  // namespace golden
