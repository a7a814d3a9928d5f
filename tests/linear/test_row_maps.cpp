#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <heed/linear/maps/cosformer.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/linear/maps/one_plus_cosine.hpp>
#include <heed/linear/maps/random_features.hpp>
#include <heed/linear/maps/taylor_features.hpp>

#include "linear/problem.hpp"

namespace test_row_maps {

using namespace heed_test;
using heed::index;

TEST_CASE("linear attention with 1 + cos(q, k) is its definition") {
    // Rows that point away from each other have a weight of 0, and what rounding leaves of it
    // divides as well.
    check_map(910, reference::with_map(reference::one_plus_cosine), heed::one_plus_cosine, 5);
}

TEST_CASE("linear attention with the Taylor polynomial's features is its definition") {
    check_map(911, reference::with_map(reference::taylor_features), heed::taylor_features);
}

TEST_CASE("linear attention with relu and a cosine of the distance is its definition") {
    check_map(912, reference::with_map(reference::cosformer(72)), heed::cosformer(72));
}

std::vector<std::vector<double>> rows_of(const heed::random_features& f) {
    std::vector<std::vector<double>> rows(static_cast<std::size_t>(f.count()));
    for (index r = 0; r < f.count(); ++r)
        for (index c = 0; c < f.dim(); ++c) rows[static_cast<std::size_t>(r)].push_back(f(r, c));
    return rows;
}

/// Problems of one head dimension, with these features.
template <class Map>
void check_favor(std::uint64_t stream, const heed::random_features& f, bool both_signs,
                 const std::function<double(double, double)>& of_product, const Map& map) {
    const reference::linear_options like =
        reference::with_map(reference::random_directions(rows_of(f), both_signs, of_product));
    generator random(stream);
    for (int round = 0; round < 6; ++round) {
        linear_extents e = random_linear_extents(random);
        e.dim = f.dim();
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        const linear_problem from(random, e, round == 0 ? 4 : 1);
        reference::linear_options how = like;
        check_forward<double>(from, how, 1e-11, map);
        check_gradients(random, from, how, map);
        how.visible = reference::causal(e.queries, e.keys);
        check_forward<double>(from, how, 1e-11, heed::causal, map);
        check_forward<float>(from, how, 1e-4, heed::causal, map);
        check_gradients(random, from, how, heed::causal, map);
    }
}

double of_exponential(double dot, double half_square) { return std::exp(dot - half_square); }

TEST_CASE("linear attention with FAVOR+ is its definition") {
    const heed::random_features f({.dim = 5, .count = 13, .seed = 3});
    check_favor(913, f, false, of_exponential, heed::favor(f));
    check_favor(914, f, true, of_exponential, heed::favor(f).both_signs());
    const heed::random_features other({.dim = 8, .count = 24, .seed = 4});
    check_favor(915, other, false, of_exponential, heed::favor(other));
    check_favor(
        916, f, false, [](double dot, double) { return reference::relu(dot) + 0.125; },
        heed::favor(f).relu(0.125));
}

}  // namespace test_row_maps
