// Softmax's relatives inside attention give what PyTorch and transformers give.

#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "golden_attention.hpp"
#include "support/attention_kernels.hpp"

namespace golden {

TEST_CASE("a temperature is PyTorch's", "[golden]") {
    check_attention<float>("attention", "temperature", "", heed::softmax.temperature(0.75));
}

TEST_CASE("softmax-plus-one is as composed in PyTorch", "[golden]") {
    check_attention<float>("attention", "plus_one", "", heed::softmax_plus_one);
}

TEST_CASE("a learned sink is that of gpt-oss", "[golden]") {
    const auto sink = load("attention", "sink").numbers<double>("sink");
    check_attention<double>("attention", "sink", "sink", heed::causal,
                            heed::learn(heed::sink(sink)));
}

TEST_CASE("a gradient of the log-sum-exp is PyTorch's", "[golden]") {
    const comparison<float> compare("attention", "log_sum_exp_gradient");
    const auto d_lse = load("attention", "log_sum_exp_gradient").tensor<float, 3>("d_log_sum_exp");
    const auto [o, stats] = heed::attention_forward(compare.q, compare.k, compare.v);
    compare.check_backward(heed::attention_backward(compare.d_o, o, stats, compare.q, compare.k,
                                                    compare.v, heed::log_sum_exp_gradient(d_lse)));
}

}  // namespace golden
