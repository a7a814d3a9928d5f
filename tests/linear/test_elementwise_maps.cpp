#include <cmath>

#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/maps/feature_map.hpp>
#include <heed/linear/maps/relu.hpp>
#include <heed/softmax/dense/positive.hpp>

#include "linear/problem.hpp"

namespace test_elementwise_maps {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("linear attention with elu(x) + 1 is its definition") {
    check_map(900, reference::with_map(reference::each_number(reference::elu_plus_one)),
              heed::elu_plus_one);
}

TEST_CASE("linear attention with relu is its definition") {
    check_map(901, reference::with_map(reference::each_number(reference::relu)), heed::relu);
}

TEST_CASE("linear attention with e^x is its definition") {
    check_map(902, reference::with_map(reference::each_number(reference::exponential)),
              heed::exp_features);
}

TEST_CASE("e^x of keys that rise far above the references, again and again") {
    generator random(903);
    for (int round = 0; round < 6; ++round) {
        linear_extents e = random_linear_extents(random);
        e.queries = e.keys = random.one_of<index>({33, 67, 90});
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        linear_problem from(random, e);
        for (index j = 0; j < e.keys; ++j)  // by up to 35 a key at first, then here and there
            for (index b = 0; b < e.batch; ++b)
                for (index h = 0; h < e.key_heads; ++h)
                    for (index c = 0; c < e.dim; ++c)
                        from.k(b, h, j, c) += j < 5 ? 35.0 * static_cast<double>(j * (c % 2))
                                                    : (random.chance(0.05) ? 40.0 : 0.0);
        const reference::linear_options all =
            reference::with_map(reference::each_number(reference::exponential));
        reference::linear_options causal = all;
        causal.visible = reference::causal(e.queries, e.keys);
        check_forward<double>(from, causal, 1e-11, heed::causal, heed::exp_features);
        check_forward<float>(from, causal, 1e-4, heed::causal, heed::exp_features);
        check_forward<double>(from, all, 1e-11, heed::exp_features);
        check_gradients(random, from, causal, heed::causal, heed::exp_features);
        check_gradients(random, from, all, heed::exp_features);
    }
}

TEST_CASE("a feature map of the user's, on vectors and on numbers") {
    // Polynomials: of vectors, of numbers, and as a positive function.
    const auto square = [](double x) { return 1 + x * x; };
    const reference::linear_options how = reference::with_map(reference::each_number(+square));
    check_map(904, how,
              heed::feature_map([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; }));
    check_map(905, how,
              heed::feature_map(heed::scalar([](auto x) { return 1 + x * x; }),
                                heed::scalar([](auto x) { return 2 * x; })));
    check_map(906, how,
              heed::positive([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; }));
}

}  // namespace test_elementwise_maps
