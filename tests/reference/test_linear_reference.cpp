// The recurrences of linear attention, by what is known in closed form.

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "linear.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace reference {
namespace test_linear_reference {

struct problem {
    tensor q, k, v;
    linear_options how;

    problem(heed_test::generator& random, index tokens, index dim, index value_dim)
        : q(1, 1, tokens, dim), k(1, 1, tokens, dim), v(1, 1, tokens, value_dim) {
        for (tensor* x : {&q, &k, &v}) random.fill_normal(x->values);
        how = with_map(each_number(identity));
        how.divides = false;
        how.visible = causal(tokens, tokens);
    }
    tensor numbers(double x) const {
        tensor result(1, 1, k.rows(), 1);
        std::fill(result.values.begin(), result.values.end(), x);
        return result;
    }
    tensor o() const { return linear_attention(q, k, v, how); }
};

TEST_CASE("a decay of 1 is none, one of 0 leaves a token to itself", "[reference]") {
    heed_test::generator random(70);
    problem of(random, 9, 3, 4);
    const tensor plain = of.o();
    of.how.log_decays = of.numbers(0);
    CHECK(largest_difference(of.o(), plain) < 1e-13);
    of.how.log_decays = of.numbers(-HUGE_VAL);
    const tensor alone = of.o();
    for (index t = 0; t < 9; ++t) {
        double weight = 0;
        for (index c = 0; c < 3; ++c) weight += of.q(0, 0, t, c) * of.k(0, 0, t, c);
        for (index c = 0; c < 4; ++c)
            CHECK(alone(0, 0, t, c) == Approx(weight * of.v(0, 0, t, c)).margin(1e-13));
    }
}

TEST_CASE("the delta rule writes a value in the place of the one that was there", "[reference]") {
    heed_test::generator random(71);
    problem of(random, 12, 5, 4);
    of.q = of.k;
    of.how.unit_rows = true;
    of.how.deltas = of.numbers(1);
    of.how.log_decays = of.numbers(-0.3);
    CHECK(largest_difference(of.o(), of.v) < 1e-5);  // ε in the length
    of.how.deltas = of.numbers(0);
    CHECK(largest_magnitude(of.o()) == 0);
}

TEST_CASE("among orthogonal keys the delta rule is a sum", "[reference]") {
    heed_test::generator random(72);
    problem of(random, 4, 4, 3);
    for (index t = 0; t < 4; ++t)
        for (index c = 0; c < 4; ++c) of.k(0, 0, t, c) = t == c ? 2 : 0;
    of.how.log_decays = of.numbers(-0.5);
    tensor expected = of.o();
    for (double& x : expected.values) x *= 0.7;
    of.how.deltas = of.numbers(0.7);
    CHECK(largest_difference(of.o(), expected) < 1e-14);
}

TEST_CASE("beta = 2 reflects, and twice is nothing", "[reference]") {
    heed_test::generator random(73);
    problem of(random, 7, 4, 3);
    of.how.unit_rows = true;
    of.how.deltas = of.numbers(0.5);
    for (const index t : {5, 6}) {
        (*of.how.deltas)(0, 0, t, 0) = 2;
        for (index c = 0; c < 3; ++c) of.v(0, 0, t, c) = 0;
        for (index c = 0; c < 4; ++c) {
            of.k(0, 0, t, c) = of.k(0, 0, 5, c);
            of.q(0, 0, t, c) = of.q(0, 0, 4, c);
        }
    }
    const tensor o = of.o();
    for (index c = 0; c < 3; ++c) {
        CHECK(o(0, 0, 6, c) == Approx(o(0, 0, 4, c)).epsilon(1e-4));
        CHECK(std::abs(o(0, 0, 5, c) - o(0, 0, 4, c)) > 1e-3);
    }
}

}  // namespace test_linear_reference
}  // namespace reference
