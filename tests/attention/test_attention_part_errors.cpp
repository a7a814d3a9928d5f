#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <heed/heed.hpp>

#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_part_errors {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr extents sizes = refused_sizes;

/// One call with every part that has something to check, so that it is compiled once: what is not
/// given is right.
struct parts_of_call {
    std::vector<index> lengths{8, 8};
    std::vector<int> query_segments = std::vector<int>(6), key_segments = std::vector<int>(8);
    Eigen::Tensor<bool, 3> seen{1, 1, 1};
    tensor4<float> bias{1, 1, 1, 1};
    std::vector<float> slopes = std::vector<float>(4), scales = std::vector<float>(4, 1.F);
    std::vector<double> query_positions = std::vector<double>(6),
                        key_positions = std::vector<double>(8);
    Eigen::VectorXf logits = Eigen::VectorXf::Zero(4);
    index rotated = 4;

    parts_of_call() {
        seen.setConstant(true);
        bias.setConstant(0);
    }

    void run(outputs& to) const { run_into(heed::view(to.o.data(), {2, 4, 6, 5})); }

    /// The same with o at any place of memory.
    void run_into(const heed::tensor_view<float, 4>& to) const {
        generator random(104);
        const inputs<float> in(random, sizes);
        const auto frequencies = heed::rope::plain({.dim = rotated});
        heed::attention_into(to, in.q, in.k, in.v, heed::key_lengths(lengths),
                             heed::segments(query_segments, key_segments), heed::boolean_mask(seen),
                             heed::bias(bias), heed::alibi(slopes), heed::cosine.scale(scales),
                             heed::positions(query_positions, key_positions), heed::sink(logits),
                             heed::rotary(frequencies));
    }
};

/// The call is refused once `change` has spoilt its parts.
template <class Error, class Change>
void check_part_refused(const std::string& message, const Change& change) {
    parts_of_call parts;
    change(parts);
    outputs to(sizes);
    check_refused<Error>(message, [&] { parts.run(to); });
    CHECK(to.are_untouched());
}

TEST_CASE("parts that do not fit the call") {
    using parts = parts_of_call;
    using heed::argument_error;
    using heed::shape_error;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    outputs to(sizes);
    CHECK_NOTHROW(parts().run(to));

    check_part_refused<shape_error>(
        "heed::key_lengths has 3 lengths, but the batch has 2 sequences", [](parts& p) {
            p.lengths = {1, 2, 3};
        });
    check_part_refused<argument_error>(
        "heed::key_lengths: the length of sequence 1 is 9, but must lie between 0 and the number "
        "of keys, 8",
        [](parts& p) {
            p.lengths = {8, 9};
        });
    check_part_refused<argument_error>(
        "heed::key_lengths: the length of sequence 0 is -1, but must lie between 0 and the number "
        "of keys, 8",
        [](parts& p) {
            p.lengths = {-1, 8};
        });
    check_part_refused<shape_error>(
        "heed::segments: the ids of queries have length 7, but must have 6, one for each of the "
        "queries",
        [](parts& p) { p.query_segments.resize(7); });
    check_part_refused<shape_error>(
        "heed::segments: the ids of keys have length 6, but must have 8, one for each of the keys",
        [](parts& p) { p.key_segments.resize(6); });
    check_part_refused<shape_error>(
        "heed::boolean_mask has shape [4, 6, 7], but must broadcast to [batch, heads, queries, "
        "keys] = [2, 4, 6, 8]: each extent that, or 1",
        [](parts& p) { p.seen = Eigen::Tensor<bool, 3>(4, 6, 7); });
    check_part_refused<shape_error>(
        "heed::bias has shape [3, 4, 6, 8], but must broadcast to [batch, heads, queries, keys] = "
        "[2, 4, 6, 8]: each extent that, or 1",
        [](parts& p) { p.bias = tensor4<float>(3, 4, 6, 8); });
    check_part_refused<shape_error>("heed::alibi has 3 slopes, but there are 4 query heads",
                                    [](parts& p) { p.slopes.resize(3); });
    check_part_refused<argument_error>(
        "heed::alibi: the slope of head 2 is inf, but must be finite",
        [](parts& p) { p.slopes[2] = std::numeric_limits<float>::infinity(); });
    check_part_refused<shape_error>("heed::scale has 5 factors, but there are 4 query heads",
                                    [](parts& p) { p.scales.resize(5); });
    check_part_refused<argument_error>(
        "heed::scale: the factor of head 1 is nan, but must be finite",
        [](parts& p) { p.scales[1] = std::numeric_limits<float>::quiet_NaN(); });
    check_part_refused<shape_error>(
        "the positions of queries have length 5, but must have 6, one for each row of a sequence",
        [](parts& p) { p.query_positions.resize(5); });
    check_part_refused<argument_error>(
        "the positions of keys hold inf at [0, 3], but must be finite and below 2^53 in magnitude",
        [=](parts& p) { p.key_positions[3] = infinity; });
    check_part_refused<shape_error>("heed::sink has 3 logits, but there are 4 heads",
                                    [](parts& p) { p.logits = Eigen::VectorXf::Zero(3); });
    check_part_refused<argument_error>(
        "heed::sink: the logit of head 3 is nan, but must be finite or -inf",
        [](parts& p) { p.logits(3) = std::numeric_limits<float>::quiet_NaN(); });
    check_part_refused<shape_error>("heed::sink has 1 logits, but there are 4 heads",
                                    [](parts& p) { p.logits = Eigen::VectorXf::Zero(1); });
    check_part_refused<shape_error>("the frequencies rotate 6 dimensions, but q and k have 4",
                                    [](parts& p) { p.rotated = 6; });
}

TEST_CASE("outputs lie apart from what parts were given") {
    const parts_of_call parts;
    const auto check = [&](const void* memory, const std::string& name, const std::string& shape) {
        // The first number of o lies there, the others far from it and from one another, where
        // nothing is: they are never written.
        const auto o = heed::view(static_cast<float*>(const_cast<void*>(memory)), {2, 4, 6, 5},
                                  {1 << 25, 1 << 23, 1 << 20, 1 << 17});
        check_refused<heed::argument_error>(
            "o (shape [2, 4, 6, 5]) overlaps " + name + " (shape " + shape +
                ") in memory, but outputs must lie apart from inputs",
            [&] { parts.run_into(o); });
    };
    check(parts.lengths.data(), "heed::key_lengths", "[2]");
    check(parts.seen.data(), "heed::boolean_mask", "[1, 1, 1]");
    check(parts.bias.data(), "heed::bias", "[1, 1, 1, 1]");
    check(parts.slopes.data(), "heed::alibi", "[4]");
    check(parts.scales.data(), "heed::scale", "[4]");
    check(parts.query_positions.data(), "the positions", "[1, 6]");
    check(parts.key_positions.data(), "the positions", "[1, 8]");
    check(parts.logits.data(), "heed::sink", "[4]");
}

/// The memory that a part says it reads.
template <class Part>
std::vector<std::pair<std::string, const void*>> memory_of(const Part& part) {
    std::vector<std::pair<std::string, const void*>> result;
    heed::detail::unwrap(part).inputs([&](std::string_view name, const auto& view) {
        result.emplace_back(std::string(name), static_cast<const void*>(view.data));
    });
    return result;
}

TEST_CASE("every part says what it reads of the caller's memory") {
    using memory = std::vector<std::pair<std::string, const void*>>;
    const Eigen::MatrixXf x = Eigen::MatrixXf::Zero(2, 3);
    const Eigen::Array<bool, 2, 3> seen = Eigen::Array<bool, 2, 3>::Constant(true);
    const Eigen::Tensor<float, 3> rows(1, 2, 3);
    const std::vector<float> numbers{1, 2};
    const std::vector<int> whole{0, 1};
    const std::vector<double> places{0, 1};
    const auto rope = heed::rope::axial({.dims = {2}});

    CHECK(memory_of(heed::bias(x)) == memory{{"heed::bias", x.data()}});
    CHECK(memory_of(heed::learn(heed::bias(x))) == memory{{"heed::bias", x.data()}});
    CHECK(memory_of(heed::boolean_mask(seen)) == memory{{"heed::boolean_mask", seen.data()}});
    CHECK(memory_of(heed::alibi(numbers)) == memory{{"heed::alibi", numbers.data()}});
    CHECK(memory_of(heed::scale(numbers)) == memory{{"heed::scale", numbers.data()}});
    CHECK(memory_of(heed::cosine.scale(numbers)) == memory{{"heed::scale", numbers.data()}});
    CHECK(memory_of(heed::sink(numbers)) == memory{{"heed::sink", numbers.data()}});
    CHECK(memory_of(heed::sink(numbers).temperature(2)) == memory{{"heed::sink", numbers.data()}});
    CHECK(memory_of(heed::query_bias(x)) == memory{{"heed::query_bias", x.data()}});
    CHECK(memory_of(heed::key_bias(x)) == memory{{"heed::key_bias", x.data()}});
    CHECK(memory_of(heed::key_lengths(whole)) == memory{{"heed::key_lengths", whole.data()}});
    CHECK(memory_of(heed::prefix_lm(whole)) == memory{{"heed::prefix_lm", whole.data()}});
    CHECK(memory_of(heed::per_head_mask(whole, heed::causal, heed::key_lengths(whole))) ==
          memory{{"heed::per_head_mask", whole.data()}, {"heed::key_lengths", whole.data()}});
    CHECK(memory_of(heed::per_head_mask(heed::causal, heed::prefix_lm(whole))) ==
          memory{{"heed::prefix_lm", whole.data()}});
    CHECK(memory_of(heed::normal_noise(1, 0, whole)) ==
          memory{{"the ids of sequences", whole.data()}});
    CHECK(memory_of(heed::positions(whole, places)) ==
          memory{{"the positions", whole.data()}, {"the positions", places.data()}});
    CHECK(memory_of(heed::positions(places)) == memory{{"the positions", places.data()}});
    CHECK(memory_of(heed::axial_rotary(rope, x, x)) ==
          memory{{"the positions", x.data()}, {"the positions", x.data()}});
    CHECK(memory_of(heed::log_sum_exp_gradient(rows)) ==
          memory{{"the gradient of the log-sum-exp", rows.data()}});

    // These copy what they are given when they are made, or are given nothing.
    CHECK(memory_of(heed::segments(whole, whole)).empty());
    CHECK(memory_of(heed::cumulative_lengths(whole)).empty());
    CHECK(memory_of(heed::kerple_log(numbers, numbers, 8)).empty());
    CHECK(memory_of(heed::causal).empty());
    CHECK(memory_of(heed::sink(0.5)).empty());
    CHECK(memory_of(heed::prefix_lm(3)).empty());
    CHECK(memory_of(heed::normal_noise(1, 0)).empty());
}

TEST_CASE("parameters out of range are refused where the part is made") {
    using heed::argument_error;
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    check_refused<argument_error>(
        "heed::sliding_window: left is -1, but must be at least 0; one without an end is "
        "heed::unlimited",
        [] { heed::sliding_window(-1, 0); });
    check_refused<argument_error>(
        "heed::sliding_window: right is -2, but must be at least 0; one without an end is "
        "heed::unlimited",
        [] { heed::sliding_window(1, -2); });
    for (const double tau : {0.0, -1.0, nan, std::numeric_limits<double>::infinity()}) {
        CHECK_THROWS_AS(heed::softmax.temperature(tau), argument_error);
        CHECK_THROWS_AS(heed::softmax_plus_one.temperature(tau), argument_error);
        CHECK_THROWS_AS(heed::sink(0.5).temperature(tau), argument_error);
    }
    check_refused<argument_error>(
        "heed::softmax: the temperature is 0, but must be positive and finite",
        [] { heed::softmax.temperature(0); });
    CHECK_THROWS_AS(heed::soft_cap(0), argument_error);
    CHECK_THROWS_AS(heed::soft_cap(-30), argument_error);
    CHECK_THROWS_AS(heed::soft_cap(nan), argument_error);
    CHECK_THROWS_AS(heed::log_n_scale(1), argument_error);
    CHECK_THROWS_AS(heed::log_n_scale_after_training(0.5), argument_error);
    CHECK_THROWS_AS(heed::gradient_maximising_scale(0), argument_error);
    CHECK_THROWS_AS(heed::rope::plain({.dim = 3}), argument_error);
    const tensor4<float> q(1, 1, 2, 4);
    check_refused<argument_error>("heed::scale: the factor is nan, but must be finite",
                                  [&] { heed::attention(q, q, q, heed::scale(nan)); });
}

}  // namespace test_attention_part_errors
