// The double reference gives what PyTorch gives in float64.

#include <string>
#include <vector>

#include "golden.hpp"
#include "reference_options.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_reference {

// The files hold 12 digits.
void check_near(const example& x, const std::string& label, const reference::tensor& actual) {
    INFO(label);
    const reference::tensor expected = x.reference(label);
    REQUIRE(actual.values.size() == expected.values.size());
    const double size = std::max(1.0, reference::largest_magnitude(expected));
    CHECK(reference::largest_difference(actual, expected) <= 1e-11 * size);
}

void check_attention(const std::string& name, const example& x) {
    INFO(name);
    const reference::options how = options_of(name, x);
    const auto q = x.reference("q"), k = x.reference("k"), v = x.reference("v");
    const auto d_o = x.reference("d_o");
    reference::tensor d_lse;
    if (x.has("d_log_sum_exp")) {
        d_lse = x.reference("d_log_sum_exp");
        d_lse.extents = {q.batches(), q.heads(), q.rows(), 1};
    }

    const auto forward = attention_forward(q, k, v, how);
    const auto gradient = attention_backward(d_o, forward, q, k, v, how, d_lse);
    check_near(x, "o", forward.o);
    check_near(x, "log_sum_exp", forward.log_sum_exp);
    check_near(x, "d_q", gradient.q);
    check_near(x, "d_k", gradient.k);
    check_near(x, "d_v", gradient.v);
    if (x.has("d_bias")) check_near(x, "d_bias", sum_to(gradient.scores[1], x.reference("bias")));
    if (x.has("d_sink")) check_near(x, "d_sink", row_of(gradient.sink));
    if (x.has("d_scale")) check_near(x, "d_scale", row_of(gradient.scale_of_head));
}

TEST_CASE("the reference's attention is PyTorch's", "[golden][reference]") {
    for (const auto& [name, x] : read("attention")) check_attention(name, x);
}

TEST_CASE("the reference's rotation is that of transformers", "[golden][reference]") {
    for (const auto& [name, x] : read("rope")) {
        if (name.starts_with("attention")) {
            check_attention(name, x);
            continue;
        }
        INFO(name);
        const auto how = rotation_of(x);
        const auto at = positions_of(x, "positions");
        check_near(x, "y", reference::rotate(x.reference("x"), how, at));
        check_near(x, "d_x", reference::rotate(x.reference("d_y"), how, at, -1));
    }
}

}  // namespace test_golden_reference
}  // namespace golden
