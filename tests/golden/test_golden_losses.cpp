// Losses on logits give what PyTorch and the entmax package give, with their gradients:
// in doubles, since tests/softmax compares both scalars with the reference.

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/entmax_loss.hpp>
#include <heed/softmax/losses/sparsemax_loss.hpp>

#include "golden.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_losses {

// Whether numbers are the file's, whose 12 digits are of a bisection for entmax.
void check_numbers(const std::string& label, const double* actual, const array& expected,
                   double error) {
    INFO(label);
    for (std::size_t e = 0; e < expected.values.size(); ++e) {
        const double found = actual[e], wanted = expected.values[e];
        INFO(e << ": " << found << ", expected " << wanted);
        CHECK(std::abs(found - wanted) <= error * (1 + std::abs(wanted)));
    }
}

// A loss a row, or their mean, and its gradient.
template <class Loss>
void check(const std::string& name, const Loss& loss) {
    INFO(name);
    const example& expected = load("losses", name);
    const double error = 1e-10;
    const auto x = expected.matrix<double>("x");
    const std::vector<int> labels = expected.numbers<int>("labels");
    const auto each = loss.per_row().with_gradient(x, labels);
    const auto mean = loss.with_gradient(x, labels);
    const bool is_mean = expected["loss"].values.size() == 1;
    check_numbers("loss", is_mean ? &mean.value : each.value.data(), expected["loss"], error);
    check_numbers("d_x", is_mean ? mean.gradient.data() : each.gradient.data(), expected["d_x"],
                  error);
}

TEST_CASE("cross-entropy is PyTorch's", "[golden][losses]") {
    check("cross_entropy", heed::cross_entropy);
    check("cross_entropy_hot", heed::cross_entropy);
    check("cross_entropy_mean", heed::cross_entropy.ignored_label(-100));
    check("cross_entropy_smoothed", heed::cross_entropy.ignored_label(-100).label_smoothing(0.1));
}

TEST_CASE("the losses of sparse probabilities are the entmax package's", "[golden][losses]") {
    check("sparsemax_loss", heed::sparsemax_loss);
    check("entmax15_loss", heed::entmax_loss(1.5));
    check("entmax_loss", heed::entmax_loss(1.3));
}

}  // namespace test_golden_losses
}  // namespace golden
