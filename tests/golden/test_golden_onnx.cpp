// heed gives what ONNX's own node tests expect of Attention, RotaryEmbedding, Softmax, LogSoftmax
// and SoftmaxCrossEntropyLoss. conformance/with_onnx.py compares with all of these tests.

#include <string>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/rope/rotate_by_tables.hpp>
#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/softmax.hpp>

#include "golden.hpp"
#include "golden_numbers.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_onnx {

const double error = 1e-6;  // of the largest number: ONNX's results are floats

template <class... Parts>
void check_attention(const example& expected, const Parts&... parts) {
    const auto o = heed::attention(expected.tensor<float, 4>("Q"), expected.tensor<float, 4>("K"),
                                   expected.tensor<float, 4>("V"), parts...);
    check_numbers("Y", o, expected["Y"], error);
}

TEST_CASE("attention is ONNX's", "[golden][attention]") {
    // Without a cache ONNX's causal mask begins with the first key.
    check_attention(load("onnx", "test_attention_4d_gqa_causal"), heed::causal.top_left());

    const example& masked = load("onnx", "test_attention_4d_attn_mask_bool");
    const auto ones = masked.tensor<float, 2>("attn_mask");
    const Eigen::Tensor<bool, 2, Eigen::RowMajor> seen = ones > ones.constant(0.5F);
    check_attention(masked, heed::boolean_mask(seen));

    const example& capped = load("onnx", "test_attention_4d_softcap_neginf_mask");
    check_attention(capped, heed::soft_cap(capped.number("softcap")),
                    heed::bias(capped.tensor<float, 2>("attn_mask")));
}

TEST_CASE("rotation by tables is ONNX's", "[golden][rope]") {
    const example& expected = load("onnx", "test_rotary_embedding_with_interleaved_rotary_dim");
    const auto turns =
        heed::rope::tables(expected.tensor<float, 2>("cos_cache"),
                           expected.tensor<float, 2>("sin_cache"), heed::rope::interleaved);
    const auto y = heed::rotate(expected.tensor<float, 4>("input"), turns,
                                expected.tensor<double, 2>("position_ids"));
    check_numbers("output", y, expected["output"], error);
}

TEST_CASE("softmax, log-softmax and cross-entropy are ONNX's", "[golden][softmax]") {
    const example& softmax = load("onnx", "test_softmax_large_number");
    check_numbers("y", heed::softmax(softmax.tensor<float, 2>("x")), softmax["y"], error);
    const example& log_softmax = load("onnx", "test_logsoftmax_large_number");
    check_numbers("y", heed::log_softmax(log_softmax.tensor<float, 2>("x")), log_softmax["y"],
                  error);

    const example& loss = load("onnx", "test_sce_mean_weight_ii");
    const auto weighted = heed::cross_entropy.class_weights(loss.numbers<float>("w"))
                              .ignored_label(static_cast<int>(loss.number("ignore_index")));
    const float mean = weighted(loss.matrix<float>("x"), loss.numbers<int>("y"));
    CHECK(mean == Approx(loss.number("z")).epsilon(error));
}

}  // namespace test_golden_onnx
}  // namespace golden
