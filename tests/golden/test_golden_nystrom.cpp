// Nyström attention gives what transformers and nystrom-attention give where their choices are the
// definition's, forward and backward.

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>

#include <heed/nystrom/nystrom_attention.hpp>
#include <heed/nystrom/residual_convolution.hpp>

#include "golden.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_nystrom {

template <class T>
void check_near(const example& golden, const std::string& label, const T* actual) {
    const array& expected = golden[label];
    // Results have 12 digits; what rounding does of itself the other library's floats show.
    const double bound = std::is_same_v<T, float> ? 8 * golden.float32_error(label) + 2e-6 : 1e-10;
    double worst = 0;
    for (std::size_t i = 0; i < expected.values.size(); ++i)
        worst = std::fmax(worst, std::abs(static_cast<double>(actual[i]) - expected.values[i]));
    INFO(label);
    CHECK(worst <= bound);
}

template <class T>
void check(const std::string& name) {
    INFO(name << (std::is_same_v<T, float> ? ", float" : ", double"));
    const example& golden = load("nystrom", name);
    const auto q = golden.tensor<T, 4>("q"), k = golden.tensor<T, 4>("k"),
               v = golden.tensor<T, 4>("v"), d_o = golden.tensor<T, 4>("d_o");
    const heed::nystrom_options how{.landmarks = static_cast<int>(golden.number("landmarks"))};
    const auto compare = [&](const auto&... part) {
        const auto forward = heed::nystrom_attention_forward(q, k, v, how, part...);
        const auto gradient = heed::nystrom_attention_backward(d_o, forward.output, forward.stats,
                                                               q, k, v, how, part...);
        check_near(golden, "o", forward.output.data());
        check_near(golden, "d_q", gradient.q.data());
        check_near(golden, "d_k", gradient.k.data());
        check_near(golden, "d_v", gradient.v.data());
        if constexpr (sizeof...(part) > 0)
            check_near(golden, "d_w", gradient.template of<0>().data());
    };
    if (golden.has("w"))
        compare(heed::learn(heed::residual_convolution(golden.matrix<T>("w"))));
    else
        compare();
}

TEST_CASE("Nyström attention of two other libraries") {
    for (const char* name : {"transformers", "transformers_convolution", "nystrom_attention",
                             "nystrom_attention_convolution"}) {
        check<double>(name);
        check<float>(name);
    }
}

}  // namespace test_golden_nystrom
}  // namespace golden
