#include <string>
#include <utility>
#include <vector>

#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/nystrom/iterative_pseudo_inverse.hpp>
#include <heed/nystrom/nystrom_attention.hpp>
#include <heed/nystrom/residual_convolution.hpp>
#include <heed/nystrom/segment_means.hpp>

#include "attention/problem.hpp"
#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_nystrom_errors {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

using heed::argument_error;
using heed::shape_error;
using options = heed::nystrom_options;

constexpr extents sizes{2, 4, 2, 6, 6, 4, 5};

TEST_CASE("options and parts that Nyström attention refuses") {
    generator random(631);
    const inputs<float> in(random, sizes);
    outputs out(sizes);
    const auto refuse = [&]<class Error>(Error*, const std::string& message, const options& how,
                                         const auto&... parts) {
        check_refused<Error>(
            message, [&] { heed::nystrom_attention_into(out.o, in.q, in.k, in.v, how, parts...); });
        CHECK(out.are_untouched());
    };
    constexpr argument_error* argument = nullptr;
    constexpr shape_error* shape = nullptr;
    refuse(argument, "nystrom_attention: landmarks is 0, but must be at least 1", {.landmarks = 0});
    refuse(argument, "nystrom_attention: rounds is -1, but must be at least 0", {.rounds = -1});
    refuse(argument, "nystrom_attention: tolerance is -0.5, but must lie in [0, 1)",
           {.inverse = heed::pseudo_inverse::svd, .tolerance = -0.5});
    refuse(argument, "nystrom_attention: tolerance is 1, but must lie in [0, 1)",
           {.inverse = heed::pseudo_inverse::svd, .tolerance = 1});
    refuse(argument,
           "heed::residual_convolution has 4 weights a head, but their number must be odd", {},
           heed::residual_convolution(random.matrix<float>(4, 4)));
    refuse(argument,
           "heed::residual_convolution has 0 weights a head, but their number must be odd", {},
           heed::residual_convolution(random.matrix<float>(4, 0)));
    refuse(shape,
           "heed::residual_convolution has shape [2, 3], but must have a row for each of the 4 "
           "query heads",
           {}, heed::residual_convolution(random.matrix<float>(2, 3)));
    refuse(argument,
           "heed::key_lengths: the length of sequence 1 is 7, but must lie between 0 and the "
           "number of keys, 6",
           {}, heed::key_lengths({1, 7}));
    refuse(shape, "heed::scale has 2 factors, but there are 4 query heads", {},
           heed::scale(std::vector<double>{1, 2}));

    const inputs<float> other(random, {2, 4, 2, 5, 6, 4, 5});
    check_refused<shape_error>(
        "heed::residual_convolution adds v to o row by row, but there are 5 queries and 6 keys",
        [&] {
            heed::nystrom_attention(other.q, other.k, other.v, {},
                                    heed::residual_convolution(random.matrix<float>(4, 3)));
        });
    check_refused<shape_error>("o has shape [2, 4, 6, 5], but must have [2, 4, 5, 5]", [&] {
        heed::nystrom_attention_into(out.o, other.q, other.k, other.v, {});
    });
    CHECK(out.are_untouched());
}

TEST_CASE("memory that outputs of Nyström attention may not share") {
    generator random(632);
    const extents e{1, 2, 2, 6, 6, 5, 5};
    inputs<float> in(random, e);
    check_refused<argument_error>(
        "o (shape [1, 2, 6, 5]) overlaps q (shape [1, 2, 6, 5]) in memory, but outputs must lie "
        "apart from inputs",
        [&] { heed::nystrom_attention_into(in.q, in.q, in.k, in.v, {}); });
    outputs out(e);
    const auto w = heed::view(out.o.data(), {2, 3});
    check_refused<argument_error>(
        "o (shape [1, 2, 6, 5]) overlaps heed::residual_convolution (shape [2, 3]) in memory, but "
        "outputs must lie apart from inputs",
        [&] {
            heed::nystrom_attention_into(out.o, in.q, in.k, in.v, {},
                                         heed::residual_convolution(w));
        });
    const auto [o, stats] = heed::nystrom_attention_forward(in.q, in.k, in.v, {});
    const auto& kept = stats;
    const auto& given = o;
    check_refused<argument_error>(
        "dq (shape [1, 2, 6, 5]) overlaps d_o (shape [1, 2, 6, 5]) in memory, but outputs must "
        "lie apart from inputs",
        [&] {
            heed::nystrom_attention_backward_into(heed::into(in.d_o, out.dk, out.dv), in.d_o, given,
                                                  kept, in.q, in.k, in.v, {});
        });
    check_refused<argument_error>(
        "dk (shape [1, 2, 6, 5]) overlaps dv (shape [1, 2, 6, 5]) in memory, but outputs must lie "
        "apart from one another",
        [&] {
            heed::nystrom_attention_backward_into(heed::into(out.dq, out.dk, out.dk), in.d_o, given,
                                                  kept, in.q, in.k, in.v, {});
        });
    CHECK(out.are_untouched());
}

TEST_CASE("stats that backward of Nyström attention refuses") {
    generator random(633);
    const inputs<float> in(random, sizes);
    outputs out(sizes);
    const std::vector<index> lengths{6, 3};
    auto [o, stats] =
        heed::nystrom_attention_forward(in.q, in.k, in.v, {}, heed::key_lengths(lengths));
    const auto& given = o;
    const auto refuse = [&]<class Error>(Error*, const std::string& message, const auto& kept,
                                         const options& how, const auto&... parts) {
        check_refused<Error>(message, [&] {
            heed::nystrom_attention_backward_into(heed::into(out.dq, out.dk, out.dv), in.d_o, given,
                                                  kept, in.q, in.k, in.v, how, parts...);
        });
        CHECK(out.are_untouched());
    };
    constexpr argument_error* argument = nullptr;
    constexpr shape_error* shape = nullptr;
    const std::string of_none = "stats are those of no call: nystrom_attention_forward fills them";
    refuse(argument, of_none, heed::nystrom_stats_for<float>(), {});
    refuse(argument, "stats are those of a call with other options", stats, {.landmarks = 3},
           heed::key_lengths(lengths));
    refuse(shape, "stats are those of sequences of other lengths", stats, {},
           heed::key_lengths({3, 6}));
    refuse(shape, "stats are those of sequences of other lengths", stats, {});
    const inputs<float> other(random, {2, 4, 2, 6, 7, 4, 5});
    const auto of_other = heed::nystrom_attention_forward(other.q, other.k, other.v, {});
    refuse(shape, "stats are those of a call of another shape than q, k and v", of_other.stats, {});
    const auto moved = std::move(stats);
    refuse(argument, of_none, stats, {}, heed::key_lengths(lengths));
    heed::nystrom_attention_backward_into(heed::into(out.dq, out.dk, out.dv), in.d_o, given, moved,
                                          in.q, in.k, in.v, {}, heed::key_lengths(lengths));
    CHECK_FALSE(out.are_untouched());
}

TEST_CASE("what segment_means and iterative_pseudo_inverse refuse") {
    generator random(634);
    auto x = random.matrix<float>(6, 4);
    auto y = random.matrix<float>(3, 4);
    check_refused<argument_error>("heed::segment_means: segments is 0, but must be at least 1",
                                  [&] { heed::segment_means(x, 0); });
    check_refused<shape_error>("the means has shape [1, 1, 3, 4], but must have [1, 1, 2, 4]",
                               [&] { heed::segment_means_into(y, x, 2); });
    check_refused<argument_error>(
        "heed::segment_means_backward: rows is 2, but must be at least the number of means, 3",
        [&] { heed::segment_means_backward(y, 2); });
    check_refused<argument_error>(
        "heed::iterative_pseudo_inverse: rounds is -2, but must be at least 0",
        [&] { heed::iterative_pseudo_inverse(x, -2); });
    check_refused<shape_error>("d_p has shape [1, 1, 3, 4], but must have [1, 1, 4, 6]",
                               [&] { heed::iterative_pseudo_inverse_backward(y, x, 2); });
    auto square = random.matrix<float>(4, 4);
    check_refused<argument_error>(
        "the pseudo-inverse (shape [1, 1, 4, 4]) overlaps a (shape [1, 1, 4, 4]) in memory, but "
        "outputs must lie apart from inputs",
        [&] { heed::iterative_pseudo_inverse_into(square, square, 6); });
}

}  // namespace test_nystrom_errors
