#include <heed/softmax/noise/perturb_max.hpp>

#include "attention/normaliser_check.hpp"
#include "reference/perturb.hpp"
#include "support/attention_kernels.hpp"

namespace test_perturb_attention {

using namespace heed_test;

TEST_CASE("attention to the largest of scores with Gumbel noise is softmax attention") {
    for_problems(95, [](generator&, const problem& from) {
        reference::options how;  // softmax
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        const auto gumbel = heed::perturb_max(heed::perturb::gumbel);
        check_normaliser<float>(from, how, heed::causal, gumbel);
        check_normaliser<double>(from, how, heed::causal, gumbel);
    });
}

TEST_CASE("attention to the largest of scores with normal noise") {
    generator random(96);
    const problem from(random, {1, 2, 1, 9, 13, 5, 4});
    reference::options how;
    how.normaliser = reference::perturb_max(reference::normal_noise());
    how.visible = reference::causal(9, 13);
    const auto normal = heed::perturb_max(heed::perturb::normal);
    check_normaliser<double>(from, how, heed::causal, normal);
    check_output_differences(random, from, heed::causal, normal);
}

}  // namespace test_perturb_attention
