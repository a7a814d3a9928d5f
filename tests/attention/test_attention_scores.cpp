#include <cmath>
#include <limits>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention_scores.hpp>
#include <heed/attention/dropout.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/softmax.hpp>

#include "attention/problem.hpp"
#include "attention/refusals.hpp"
#include "reference/accuracy.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_attention_scores {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// The scores with these parts are the reference's behind its last modifier.
template <class T, class... Parts>
void check_scores(const problem& from, const reference::options& how, const Parts&... parts) {
    INFO(to_string(from.sizes));
    const inputs<T> in(from);
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    const auto s = heed::attention_scores(in.q, in.k, parts...);
    REQUIRE(s.size() == static_cast<index>(exact.p.values.size()));
    index wrong = 0;
    for_each_row(exact.o, [&](index b, index h, index i) {
        const double bound = (8 + 2 * reference::score_magnitude(exact, how, b, h, i)) *
                             std::numeric_limits<T>::epsilon();
        for (index j = 0; j < from.sizes.keys; ++j) {
            const auto score = static_cast<double>(s(b, h, i, j));
            const bool is_near = std::abs(score - exact.scores.back()(b, h, i, j)) <= bound;
            const bool hidden = score == -std::numeric_limits<double>::infinity();
            if (exact.visible(b, h, i, j) == 0 ? !hidden : !is_near) ++wrong;
        }
    });
    CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("the scores of attention are the reference's, before and behind its modifiers",
                   "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(121);
    for (int round = 0; round < 6; ++round) {
        const extents e = round < 4 ? random_extents(random) : long_extents(random);
        const problem from(random, e);
        check_scores<T>(from, {});
        reference::options how;
        how.visible = reference::causal(e.queries, e.keys);
        const std::vector<double> slopes(static_cast<std::size_t>(e.heads), 0.25);
        how.modifiers = {reference::alibi(slopes, e.queries, e.keys)};
        check_scores<T>(from, how, heed::alibi(slopes), heed::causal, heed::softmax,
                        heed::dropout({.rate = 0.5}));
        const auto odd = [](index, index, index i, index j) { return (i + j) % 3 == 1; };
        how = {};
        how.visible = odd;
        const index shift = e.keys - e.queries;
        check_scores<T>(from, how,
                        heed::mask([shift](auto i, auto j) { return (i - shift + j) % 3 == 1; }));
    }
}

TEST_CASE("scores on threads, of views, and of nothing") {
    generator random(122);
    const inputs<float> in(random, {2, 4, 2, 130, 300, 8, 8});
    const auto rope = heed::rope::plain({.dim = 8});
    const auto s = heed::attention_scores(in.q, in.k, heed::rotary(rope), heed::soft_cap(5));
    Eigen::ThreadPool pool(3);
    CHECK(same_bits(s, heed::attention_scores(in.q, in.k, heed::rotary(rope), heed::soft_cap(5),
                                              always_on(pool))));
    const Eigen::MatrixXf q = Eigen::MatrixXf::Random(5, 4), k = Eigen::MatrixXf::Random(7, 4);
    const auto of_matrices = heed::attention_scores(q, k);
    CHECK(of_matrices.dimension(2) == 5);
    CHECK(of_matrices(0, 0, 4, 6) == Approx(q.row(4).dot(k.row(6)) / 2).epsilon(1e-6));
    CHECK(heed::attention_scores(q, Eigen::MatrixXf(0, 4)).size() == 0);
    CHECK(heed::attention_scores(Eigen::MatrixXf(0, 4), k).size() == 0);
    CHECK_THROWS_AS(heed::attention_scores(q, Eigen::MatrixXf(7, 3)), heed::shape_error);
}

}  // namespace test_attention_scores
