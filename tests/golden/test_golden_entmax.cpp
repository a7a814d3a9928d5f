// The sparse normalisers give what the entmax package gives, forward and backward, and in alpha:
// in doubles, since tests/softmax compares both scalars with the reference.

#include <algorithm>
#include <cmath>
#include <string>

#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "golden.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_entmax {

// p and dx of one example; the files hold 12 digits, and the package bisects to about as many.
template <class Normaliser>
void check(const std::string& name, const Normaliser& normaliser) {
    INFO(name);
    const double error = 1e-10;
    const example& expected = load("entmax", name);
    const auto x = expected.matrix<double>("x");
    const auto p = normaliser(x);
    const auto dx = normaliser.backward(x, p, expected.matrix<double>("d_y"));
    const auto near = [&](const auto& actual, const std::string& label) {
        INFO(label);
        const auto wanted = expected.matrix<double>(label);
        REQUIRE(actual.size() == wanted.size());
        const double size = std::max(1.0, wanted.cwiseAbs().maxCoeff());
        CHECK((actual - wanted).cwiseAbs().maxCoeff() <= error * size);
    };
    near(p, "y");
    near(dx, "d_x");
}

TEST_CASE("sparsemax, entmax and sparse softmax are the entmax package's", "[golden][softmax]") {
    for (const char* size : {"1", "13", "67"}) {
        check(std::string("sparsemax_") + size, heed::sparsemax);
        check(std::string("entmax15_") + size, heed::entmax15);
    }
    for (const char* alpha : {"1.05", "1.25", "1.75", "2.5", "4"})
        check(std::string("entmax_") + alpha, heed::entmax(std::stod(alpha)));
    for (const int k : {1, 5, 19})
        check("sparse_softmax_" + std::to_string(k), heed::sparse_softmax(k));
}

TEST_CASE("the gradient of entmax in alpha is the entmax package's", "[golden][softmax]") {
    for (const char* alpha : {"1.05", "1.25", "1.75", "2.5", "4"}) {
        INFO(alpha);
        const example& expected = load("entmax", std::string("entmax_") + alpha);
        const auto f = heed::entmax(std::stod(alpha));
        const auto p = f(expected.matrix<double>("x"));
        CHECK(f.alpha_gradient(p, expected.matrix<double>("d_y")) ==
              Approx(expected.number("d_alpha")).epsilon(1e-8));
    }
}

}  // namespace test_golden_entmax
}  // namespace golden
