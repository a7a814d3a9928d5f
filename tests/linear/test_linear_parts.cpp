#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <variant>
#include <vector>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/linear/denominator.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/maps/one_plus_cosine.hpp>
#include <heed/linear/maps/relu.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/problem.hpp"

namespace test_linear_parts {

using namespace heed_test;
using heed::index;

reference::linear_options elu() {
    return reference::with_map(reference::each_number(reference::elu_plus_one));
}

/// As many queries as keys.
linear_extents square_extents(generator& random) {
    linear_extents e = random_linear_extents(random);
    e.keys = e.queries;
    return e;
}

TEST_CASE("padding is not seen, causally or not") {
    generator random(920);
    for (int round = 0; round < 10; ++round) {
        const bool causal = round % 2 == 0;
        const linear_extents e = causal ? square_extents(random) : random_linear_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        const linear_problem from(random, e);
        std::vector<index> lengths;
        for (index b = 0; b < e.batch; ++b) lengths.push_back(random.integer(0, e.keys));
        reference::linear_options how = elu();
        how.visible = reference::key_lengths(lengths);
        const auto padding = heed::key_lengths(lengths);
        if (causal) {
            how.visible = reference::both(how.visible, reference::causal(e.queries, e.keys));
            check_forward<double>(from, how, 1e-12, heed::causal, padding, heed::elu_plus_one);
            check_gradients(random, from, how, heed::causal, padding, heed::elu_plus_one);
        } else {
            check_forward<double>(from, how, 1e-12, padding, heed::elu_plus_one);
            check_gradients(random, from, how, padding, heed::elu_plus_one);
        }
    }
}

TEST_CASE("a document sees itself alone") {
    generator random(921);
    for (int round = 0; round < 10; ++round) {
        const linear_extents e = square_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        const linear_problem from(random, e);
        std::vector<index> offsets{0, e.keys};
        for (int d = 0; d < 3; ++d) offsets.push_back(random.integer(0, e.keys));
        std::sort(offsets.begin(), offsets.end());
        reference::linear_options how = elu();
        how.visible = reference::documents(offsets);
        const auto documents = heed::cumulative_lengths(offsets);
        check_forward<double>(from, how, 1e-12, documents, heed::elu_plus_one);
        check_gradients(random, from, how, documents, heed::elu_plus_one);
        how.visible = reference::both(how.visible, reference::causal(e.queries, e.keys));
        check_forward<double>(from, how, 1e-12, heed::causal, documents, heed::elu_plus_one);
        check_gradients(random, from, how, heed::causal, documents, heed::elu_plus_one);
    }
}

TEST_CASE("documents of other lengths of queries than of keys, some of them without either") {
    generator random(922);
    const linear_problem from(random, {1, 2, 1, 2, 7, 40, 3, 5});
    const std::vector<index> of_queries{0, 3, 3, 5, 7}, of_keys{0, 33, 38, 38, 40};
    reference::linear_options how = elu();
    how.visible = [=](index, index, index i, index j) {
        const auto document = [](const std::vector<index>& offsets, index at) {
            return std::upper_bound(offsets.begin(), offsets.end(), at) - offsets.begin();
        };
        return document(of_queries, i) == document(of_keys, j);
    };
    const auto documents = heed::cumulative_lengths(of_queries, of_keys);
    check_forward<double>(from, how, 1e-12, documents, heed::elu_plus_one);
    check_gradients(random, from, how, documents, heed::elu_plus_one);
}

TEST_CASE("a rotary encoding turns features in the numerator alone, or rows before 1 + cos") {
    generator random(923);
    for (int round = 0; round < 8; ++round) {
        linear_extents e = random_linear_extents(random);
        e.dim = random.one_of<index>({4, 6, 10});
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        const linear_problem from(random, e);
        const auto frequencies = reference::plain_frequencies(e.dim);
        const auto layout = round % 2 == 0 ? heed::rope::halves : heed::rope::interleaved;
        const heed::rope::frequencies rope(frequencies, layout);
        const auto part = heed::rotary(rope);
        reference::linear_options how = elu();
        how.turns = reference::rotation{frequencies, layout == heed::rope::interleaved, 1};
        how.offset = e.keys - e.queries;
        reference::linear_options cosine = how;
        cosine.map = reference::one_plus_cosine;
        cosine.turns_rows = true;
        check_forward<double>(from, how, 1e-11, part, heed::elu_plus_one);
        check_gradients(random, from, how, part, heed::elu_plus_one);
        how.visible = cosine.visible = reference::causal(e.queries, e.keys);
        check_forward<double>(from, how, 1e-11, heed::causal, part, heed::elu_plus_one);
        check_gradients(random, from, how, heed::causal, part, heed::elu_plus_one);
        check_forward<double>(from, cosine, 1e-11, heed::causal, part, heed::one_plus_cosine);
        check_gradients(random, from, cosine, heed::causal, part, heed::one_plus_cosine);

        // Of two features that turn into one another, one is far above the other now and then.
        linear_problem uneven = from;
        for (index j = 0; j < e.keys; j += 3)
            for (index b = 0; b < e.batch; ++b)
                for (index h = 0; h < e.key_heads; ++h)
                    for (index c = 0; c < e.dim; c += 3)
                        uneven.k(b, h, j, c) += random.chance(0.3) ? 35 : 2;
        how.map = reference::each_number(reference::exponential);
        check_forward<double>(uneven, how, 1e-11, heed::causal, part, heed::exp_features);
        check_gradients(random, uneven, how, heed::causal, part, heed::exp_features);
    }
}

TEST_CASE("denominators: none, and one that is not below a number") {
    generator random(924);
    for (int round = 0; round < 8; ++round) {
        const linear_extents e = random_linear_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        const linear_problem from(random, e);
        reference::linear_options how = elu();
        how.visible = reference::causal(e.queries, e.keys);
        how.least = 20;
        const auto least = heed::normalised.at_least(20);
        check_forward<double>(from, how, 1e-12, heed::causal, heed::elu_plus_one, least);
        check_gradients(random, from, how, heed::causal, heed::elu_plus_one, least);
        how.divides = false;
        check_forward<double>(from, how, 1e-12, heed::causal, heed::elu_plus_one,
                              heed::unnormalised);
        check_gradients(random, from, how, heed::causal, heed::elu_plus_one, heed::unnormalised);
        how.map = reference::each_number(reference::exponential);
        check_forward<double>(from, how, 1e-12, heed::causal, heed::exp_features,
                              heed::unnormalised);
        check_gradients(random, from, how, heed::causal, heed::exp_features, heed::unnormalised);
        how.divides = true;
        check_forward<double>(from, how, 1e-12, heed::causal, heed::exp_features, least);
        check_gradients(random, from, how, heed::causal, heed::exp_features, least);
    }
}

TEST_CASE("without a map q and k are the features, and there is a scale") {
    generator random(925);
    for (int round = 0; round < 8; ++round) {
        linear_extents e = random_linear_extents(random);
        e.dim *= 2;
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        const linear_problem from(random, e);
        const auto heads = static_cast<std::size_t>(from.d_o.heads());
        reference::linear_options how =
            reference::with_map(reference::each_number(reference::identity));
        how.divides = false;
        how.offset = e.keys - e.queries;
        how.visible = reference::causal(e.queries, e.keys);
        how.scale.assign(heads, 1 / std::sqrt(static_cast<double>(e.dim)));
        check_forward<double>(from, how, 1e-12, heed::causal);
        check_gradients(random, from, how, heed::causal);
        std::vector<double> scales;
        for (std::size_t h = 0; h < heads; ++h) scales.push_back(random.normal());
        how.scale = scales;
        check_forward<double>(from, how, 1e-12, heed::causal, heed::scale(scales));
        check_gradients(random, from, how, heed::causal, heed::scale(scales));
        const auto frequencies = reference::plain_frequencies(e.dim);
        how.turns = reference::rotation{frequencies, false, 1};
        how.scale.assign(heads, 2);
        const auto rotary = heed::rotary(heed::rope::frequencies(frequencies));
        check_forward<double>(from, how, 1e-11, heed::causal, heed::scale(2), rotary);
        check_gradients(random, from, how, heed::causal, heed::scale(2), rotary);
    }
}

TEST_CASE("parts may be chosen at run time") {
    generator random(926);
    const linear_problem from(random, {1, 2, 2, 2, 40, 40, 4, 5});
    using map = std::variant<heed::elu_plus_one_map, heed::relu_map>;
    for (const bool is_causal : {false, true}) {
        std::optional<heed::causal_mask> mask;
        if (is_causal) mask = heed::causal;
        reference::linear_options how = elu();
        if (is_causal) how.visible = reference::causal(40, 40);
        check_forward<double>(from, how, 1e-12, mask, map(heed::elu_plus_one));
        check_gradients(random, from, how, mask, map(heed::elu_plus_one));
        how.map = reference::each_number(reference::relu);
        check_forward<double>(from, how, 1e-12, mask, map(heed::relu));
    }
}

}  // namespace test_linear_parts
