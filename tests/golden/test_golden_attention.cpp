// Attention without parts and under masks gives what PyTorch gives, forward and backward.

#include <heed/attention/masks/segments.hpp>

#include "golden_attention.hpp"

namespace golden {

TEMPLATE_TEST_CASE("attention is PyTorch's", "[golden]", HEED_TEST_SCALARS) {
    for (const char* name : {"heads", "grouped_heads", "one_kv_head", "value_dim", "long_row"})
        check_attention<TestType>("attention", name, "");
}

TEST_CASE("causal attention is PyTorch's", "[golden]") {
    for (const char* name : {"causal", "causal_with_cache"})
        check_attention<double>("attention", name, "", heed::causal);
}

TEST_CASE("causal attention from the first key is PyTorch's", "[golden]") {
    check_attention<float>("attention", "causal_from_start", "", heed::causal.top_left());
}

TEST_CASE("windows are PyTorch's", "[golden]") {
    check_attention<float>("attention", "window", "", heed::sliding_window(3, 2));
    check_attention<float>("attention", "causal_window", "", heed::causal,
                           heed::sliding_window(4, 0));
}

TEST_CASE("key lengths are PyTorch's", "[golden]") {
    const auto lengths = load("attention", "key_lengths").numbers<int>("lengths");
    check_attention<float>("attention", "key_lengths", "", heed::key_lengths(lengths));
}

TEST_CASE("packed documents are PyTorch's", "[golden]") {
    const auto ids = load("attention", "documents").matrix<int>("segments");
    check_attention<float>("attention", "documents", "", heed::segments(ids, ids), heed::causal);
}

TEST_CASE("a boolean tensor is PyTorch's", "[golden]") {
    const auto seen = load("attention", "boolean").tensor<bool, 4>("visible");
    check_attention<float>("attention", "boolean", "", heed::boolean_mask(seen));
}

}  // namespace golden
