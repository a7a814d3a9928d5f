#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/distributed/compose.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/maps/cosformer.hpp>
#include <heed/linear/maps/double_softmax.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/updates/delta.hpp>

#include "attention/problem.hpp"
#include "distributed/merged_parts.hpp"
#include "support/linear_kernels.hpp"
#include "support/refused.hpp"

// Pieces of a sequence that are read side by side: what comes behind them sees what it would have
// seen behind one walk.

namespace test_compose {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

/// A sequence, and where it is cut.
template <class T>
struct sequence {
    tensor4<T> q, k, v;
    std::vector<cut> cuts;

    sequence(generator& random, double deviation = 1)
        : q(random.tensor<T>(2, 4, 150, 5)),
          k(random.tensor<T>(2, 2, 150, 5)),
          v(random.tensor<T>(2, 2, 150, 7)) {
        for (auto* x : {&q, &k})
            for (index i = 0; i < x->size(); ++i) x->data()[i] *= static_cast<T>(deviation);
        const index a = random.integer(0, 60), b = random.integer(a, 110);
        cuts = {{0, a}, {a, b}, {b, 150}};
    }
};

/// o of one piece; the state goes along.
template <class T, class PartsOf>
tensor4<T> walk(const sequence<T>& s, const cut& of, heed::linear_state<T>& state,
                const PartsOf& parts_of) {
    return std::apply(
        [&](const auto&... part) {
            return heed::linear_attention(rows_of(s.q, of), rows_of(s.k, of), rows_of(s.v, of),
                                          heed::causal, heed::carry(state), part...);
        },
        parts_of(of));
}

template <class T>
void check_near(const tensor4<T>& actual, const tensor4<T>& expected) {
    double largest = 0, error = 0;
    for (index i = 0; i < actual.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(expected.data()[i])));
        const double d = std::abs(static_cast<double>(actual.data()[i] - expected.data()[i]));
        if (!(d <= error)) error = d;
    }
    CHECK(error <= 64 * static_cast<double>(std::numeric_limits<T>::epsilon()) * largest);
}

/// The last piece behind the state of the others, composed, and further tokens too.
template <class T, class PartsOf, class Compose>
void check_composed(const sequence<T>& s, const PartsOf& parts_of, const Compose& compose) {
    INFO("cuts at " << s.cuts[0].last << " and " << s.cuts[1].last);
    heed::linear_state<T> walked, first, second;
    walk(s, {0, s.cuts[1].last}, walked, parts_of);
    walk(s, s.cuts[0], first, parts_of);
    walk(s, s.cuts[1], second, parts_of);
    compose(first, second, s.cuts[1]);
    CHECK(first.length() == s.cuts[1].last);
    check_near(walk(s, s.cuts[2], first, parts_of), walk(s, s.cuts[2], walked, parts_of));
    CHECK(first.length() == 150);
}

template <class T, class Map>
void check_map(std::uint64_t stream, const Map& map, double deviation) {
    generator random(stream);
    for (int round = 0; round < 5; ++round) {
        const sequence<T> s(random, deviation);
        check_composed(
            s, [&](const cut&) { return std::tie(map); },
            [](auto& state, const auto& later, const cut&) { heed::compose(state, later); });
    }
}

TEST_CASE("sums of features compose") { check_map<float>(331, heed::elu_plus_one, 1); }

TEST_CASE("features relative to references that differ compose") {
    check_map<float>(332, heed::exp_features, 1);
    check_map<double>(333, heed::exp_features, 60);
}

TEST_CASE("features that are divided by totals of their own compose") {
    check_map<float>(338, heed::double_softmax, 1);
    check_map<float>(339, heed::double_softmax.by_row(), 1);
}

TEST_CASE("states that decay compose by the decays of the later piece") {
    generator random(334);
    for (int round = 0; round < 6; ++round) {
        const sequence<float> s(random);
        Eigen::Tensor<float, 3, Eigen::RowMajor> g(2, 2, 150);
        for (index i = 0; i < g.size(); ++i)
            g.data()[i] = -static_cast<float>(random.uniform(0, 0.3));
        // Somewhere everything is forgotten, in the first piece, the second or the last.
        if (round >= 3) g(1, 0, random.integer(0, 149)) = static_cast<float>(minus_infinity);
        const auto tokens = [&](const cut& of) {
            return heed::view(g.data() + of.first, {2, 2, of.count()}, {300, 150, 1});
        };
        check_composed(
            s, [&](const cut& of) { return std::tuple(heed::log_decay(tokens(of))); },
            [&](auto& state, const auto& later, const cut& of) {
                Eigen::MatrixXd sums(2, 2);
                for (index b = 0; b < 2; ++b) {
                    for (index h = 0; h < 2; ++h) {
                        sums(b, h) = 0;
                        for (index i = of.first; i < of.last; ++i)
                            sums(b, h) += static_cast<double>(g(b, h, i));
                    }
                }
                heed::compose(state, later, sums);
            });
    }
}

TEST_CASE("what is not there adds nothing, and a copy of given sums goes on") {
    generator random(335);
    const sequence<float> s(random);
    const auto parts = [](const cut&) { return std::tuple(heed::elu_plus_one); };
    heed::linear_state<float> state, none;
    walk(s, {0, 40}, state, parts);
    const auto before = state.matrix(1, 0);
    heed::compose(state, none);
    CHECK(state.length() == 40);
    CHECK(same_bits(state.matrix(1, 0), before));
    heed::compose(none, state);
    CHECK(none.length() == 40);
    CHECK(same_bits(none.matrix(1, 0), before));
    CHECK(none.can_rewind() == 0);
    walk(s, {40, 43}, none, parts);
    CHECK(none.can_rewind() == 3);
    none.rewind(3);
    CHECK(same_bits(none.matrix(1, 0), before));
}

TEST_CASE("NaN and infinities stay in their head") {
    generator random(336);
    sequence<float> s(random);
    s.v(1, 0, 3, 2) = std::numeric_limits<float>::infinity();
    s.v(1, 0, 4, 3) = std::numeric_limits<float>::quiet_NaN();
    const auto parts = [](const cut&) { return std::tuple(heed::elu_plus_one); };
    heed::linear_state<float> state, later;
    walk(s, {0, 40}, state, parts);
    walk(s, {40, 90}, later, parts);
    heed::compose(state, later);
    const auto matrix = state.matrix(1, 0);
    CHECK_FALSE(std::isfinite(matrix(2, 0)));
    CHECK(std::isnan(matrix(3, 0)));
    CHECK(std::isfinite(matrix(4, 0)));
    CHECK(std::isfinite(state.matrix(1, 1)(2, 0)));
}

TEST_CASE("states that do not compose are refused") {
    generator random(337);
    const sequence<float> s(random);
    const auto of = [&](const auto&... part) {
        heed::linear_state<float> state;
        walk(s, {0, 40}, state, [&](const cut&) { return std::tuple(part...); });
        return state;
    };
    auto state = of(heed::elu_plus_one);
    const auto decayed = of(heed::decay(0.9));
    const Eigen::MatrixXd zeros = Eigen::MatrixXd::Zero(2, 2), few = zeros.row(0);
    const auto refused = [](const std::string& message, const auto& f) {
        check_refused<heed::argument_error>(message, f);
    };
    refused("the later state is that of the piece before, but must be another one",
            [&] { heed::compose(state, state); });
    CHECK_THROWS_AS(heed::compose(state, of(heed::exp_features)), heed::argument_error);
    refused("heed::compose was given log decays, but the states are of calls without decays",
            [&] { heed::compose(state, of(heed::elu_plus_one), zeros); });
    auto other = decayed;
    refused(
        "heed::compose: states with decays need the sum of the logarithms of the later piece's: "
        "heed::compose(state, later, log_decays)",
        [&] { heed::compose(other, decayed); });
    check_refused<heed::shape_error>(
        "the log decays have shape [1, 2], but must have [2, 2]: [batch, heads]",
        [&] { heed::compose(other, decayed, few); });
    refused("the log decay of sequence 0, head 0 is 1, but must be at most 0",
            [&] { heed::compose(other, decayed, Eigen::MatrixXd(Eigen::MatrixXd::Ones(2, 2))); });
    const Eigen::Tensor<float, 3, Eigen::RowMajor> half =
        Eigen::Tensor<float, 3, Eigen::RowMajor>(2, 2, 40).constant(0.5F);
    auto corrected = of(heed::delta(half));
    refused(
        "a state is of calls with an update, but those do not add up: what a later piece does to "
        "the state before it is a matrix",
        [&] { heed::compose(corrected, of(heed::delta(half))); });
    heed::linear_state<float> none;
    refused("the later state is that of the piece before, but must be another one",
            [&] { heed::compose(none, none); });
    const heed::linear_state<float> nothing;
    CHECK_THROWS_AS(heed::compose(other, nothing), heed::argument_error);
    CHECK_THROWS_AS(heed::compose(corrected, nothing), heed::argument_error);
    CHECK_THROWS_AS(heed::compose(state, nothing, zeros), heed::argument_error);
    CHECK_THROWS_AS(heed::compose(other, nothing, few), heed::shape_error);
    refused("the log decay of sequence 0, head 0 is 1, but must be at most 0",
            [&] { heed::compose(none, nothing, Eigen::MatrixXd(Eigen::MatrixXd::Ones(1, 1))); });
    heed::compose(other, nothing, zeros);
    CHECK(other.length() == 40);
    auto placed = of(heed::cosformer(200));
    const auto later = placed;
    CHECK_THROWS_AS(heed::compose(placed, later), heed::argument_error);
}

}  // namespace test_compose
