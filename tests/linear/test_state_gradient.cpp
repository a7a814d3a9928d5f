#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/double_softmax.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/state_gradient.hpp>

#include "linear/pieces.hpp"
#include "linear/problem.hpp"
#include "linear/sequences.hpp"
#include "support/same_bits.hpp"

// Gradients through states, in double: what reaches the last one, and what the first one gets.

namespace test_state_gradient {

using namespace heed_test;
using heed::index;
using state_type = heed::linear_state<double>;
using state_gradient_type = heed::linear_state_gradient<double>;

using decayed = heed_test::decayed<double>;
using updated = heed_test::updated<double>;
using faded = heed_test::faded<double>;
using faded_and_updated = heed_test::faded_and_updated<double>;
using erased = heed_test::erased_sequence<double>;
using read_before = heed_test::read_before<double>;
using corrected = heed_test::corrected<double>;
using faded_and_corrected = heed_test::faded_and_corrected<double>;

/// A map, alone.
template <class Map>
auto mapped(generator& random, index length, const Map& map) {
    return sequence<double, fixed_parts<Map>>(random, sequence_extents(length, 5, 3), {map});
}

/// Whether elements of a part are those from `first` on of a whole, along the axis of tokens.
template <class Part, class Whole>
void compare_piece(const char* name, const Part& part, const Whole& whole, index first) {
    INFO(name);
    const index n = part.dimension(2), of = whole.dimension(2);
    const index columns = part.size() / (part.dimension(0) * part.dimension(1) * n);
    double most = 1e-3, difference = 0;
    for (index e = 0; e < part.size(); ++e) {
        const index at = e / (n * columns) * of * columns + first * columns + e % (n * columns);
        most = std::max(most, std::abs(whole.data()[at]));
        difference = std::max(difference, std::abs(part.data()[e] - whole.data()[at]));
    }
    CHECK(difference <= 1e-10 * most);
}

state_gradient_type zeros_like(const state_type& state, index value_dim, index features,
                               bool divides) {
    state_gradient_type none{{state.batch(), state.heads(), value_dim, features},
                             {state.batch(), state.heads(), divides ? features : 0}};
    none.matrices.setZero();
    none.denominators.setZero();
    return none;
}

/// Forward piece by piece, then backward from the last piece to the first.
template <class Sequence>
void check_pieces(const Sequence& all, bool divides) {
    const auto& in = all.in;
    const index value_dim = in.v.dimension(3);
    const auto whole = all.gradients();
    const std::vector<index> lines{0, 1, 20, 64, 70, all.length()};
    std::vector<state_type> states(1);
    std::vector<tensor4<double>> outputs;
    std::vector<heed::linear_stats<double>> kept;
    const auto piece = [&](std::size_t number, const auto& f) {
        const index first = lines[number], count = lines[number + 1] - first;
        all.with_parts(first, count, [&](const auto&... parts) {
            f(tokens(in.q, first, count), tokens(in.k, first, count), tokens(in.v, first, count),
              tokens(in.d_o, first, count), heed::causal, parts...);
        });
    };
    for (std::size_t p = 0; p + 1 < lines.size(); ++p) {
        states.push_back(states.back());
        outputs.emplace_back(2, 4, lines[p + 1] - lines[p], value_dim);
        kept.emplace_back();
        piece(p,
              [&](const auto& q, const auto& k, const auto& v, const auto&, const auto&... parts) {
                  heed::linear_attention_forward_into(outputs[p], kept[p], q, k, v, parts...,
                                                      heed::carry(states.back()));
              });
    }
    state_gradient_type next = zeros_like(states.back(), value_dim, 5, divides);
    for (std::size_t p = lines.size() - 1; p-- > 0;) {
        INFO("piece " << p);
        piece(p, [&](const auto& q, const auto& k, const auto& v, const auto& d_o,
                     const auto&... parts) {
            const auto gradients =
                heed::linear_attention_backward(d_o, outputs[p], kept[p], q, k, v, parts...,
                                                heed::carry(states[p]), heed::state_gradient(next));
            compare_piece("dq", gradients.q, whole.q, lines[p]);
            compare_piece("dk", gradients.k, whole.k, lines[p]);
            compare_piece("dv", gradients.v, whole.v, lines[p]);
            const auto compare_learned = [&](const auto& learned, const auto& of_whole) {
                if constexpr (requires { learned.dimension(2); })  // else all tokens share it
                    compare_piece("learned", learned, of_whole, lines[p]);
            };
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                (compare_learned(gradients.template of<I>(), whole.template of<I>()), ...);
            }
            (std::make_index_sequence<
                std::tuple_size_v<std::remove_cvref_t<decltype(gradients.learned)>>>());
            next = gradients.state;
        });
    }
}

/// The gradient of a given state is the central differences of what the call, and the state behind
/// it, weigh.
template <class Sequence, class... More>
void check_differences(generator& random, const Sequence& all, bool divides, const More&... more) {
    const auto& in = all.in;
    const index value_dim = in.v.dimension(3);
    Eigen::Tensor<double, 4, Eigen::RowMajor> s(2, 2, value_dim, 5);
    Eigen::Tensor<double, 3, Eigen::RowMajor> z(2, 2, 5);
    for (index e = 0; e < s.size(); ++e) s.data()[e] = random.normal(1);
    for (index e = 0; e < z.size(); ++e) z.data()[e] = random.uniform(0.5, 2);
    state_gradient_type last{s, divides ? z : decltype(z)(2, 2, 0)};
    for (auto* x : {&last.matrices})
        for (index e = 0; e < x->size(); ++e) x->data()[e] = random.normal(1);
    const auto begin = [&] { return divides ? state_type::from(s, z) : state_type::from(s); };
    const auto loss = [&] {
        state_type state = begin();
        const tensor4<double> o = all.with_parts(0, in.q.dimension(2), [&](const auto&... parts) {
            return tensor4<double>(heed::linear_attention(in.q, in.k, in.v, heed::causal, parts...,
                                                          more..., heed::carry(state)));
        });
        double sum = 0;
        for (index e = 0; e < o.size(); ++e) sum += o.data()[e] * in.d_o.data()[e];
        for (index b = 0; b < 2; ++b) {
            for (index h = 0; h < 2; ++h) {
                const Eigen::MatrixXd matrix = state.matrix(b, h);
                const Eigen::VectorXd total = state.denominator(b, h);
                for (index f = 0; f < 5; ++f) {
                    for (index c = 0; c < value_dim; ++c)
                        sum += matrix(c, f) * last.matrices(b, h, c, f);
                    if (divides) sum += total(f) * last.denominators(b, h, f);
                }
            }
        }
        return sum;
    };
    const auto gradients = all.with_parts(0, in.q.dimension(2), [&](const auto&... parts) {
        state_type state = begin(), before = state;
        const auto [o, stats] = heed::linear_attention_forward(
            in.q, in.k, in.v, heed::causal, parts..., more..., heed::carry(state));
        return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                               parts..., more..., heed::carry(before),
                                               heed::state_gradient(last));
    });
    REQUIRE(gradients.state.matrices.size() == s.size());
    REQUIRE(gradients.state.denominators.size() == (divides ? z.size() : 0));
    const auto check = [&](const char* name, auto& x, const auto& gradient) {
        const auto here = x;
        double most = 1;
        for (index e = 0; e < x.size(); ++e) most = std::max(most, std::abs(gradient.data()[e]));
        for (int time = 0; time < 4; ++time) {
            INFO(name << ", direction " << time);
            const index only = time == 0 ? -1 : random.integer(0, x.size() - 1);
            double expected = 0, losses[2];
            for (const int side : {0, 1}) {
                for (index e = 0; e < x.size(); ++e) {
                    const double direction =
                        only < 0 ? 0.2 * static_cast<double>(e % 5 - 2) : e == only;
                    if (side == 0) expected += direction * gradient.data()[e];
                    x.data()[e] = here.data()[e] + (side == 0 ? 1e-5 : -1e-5) * direction;
                }
                losses[side] = loss();
            }
            CHECK(std::abs((losses[0] - losses[1]) / 2e-5 - expected) <= 1e-7 * most);
        }
        x = here;
    };
    check("dS", s, gradients.state.matrices);
    if (divides) check("dZ", z, gradients.state.denominators);
}

TEST_CASE("pieces of a sequence, trained through the state, are the whole") {
    generator random(1000);
    INFO("seed " << seed());
    check_pieces(mapped(random, 110, heed::elu_plus_one), true);
    check_pieces(mapped(random, 75, heed::double_softmax), true);
    check_pieces(decayed(random, 330), false);
    check_pieces(updated(random, 330), false);
    check_pieces(erased(random, 110), false);
    check_pieces(faded(random, 330), false);
    check_pieces(faded_and_updated(random, 330), false);
    check_pieces(read_before(random, 330), false);
    check_pieces(corrected(random, 170), false);
    check_pieces(faded_and_corrected(random, 170), false);
    // Keys that rise above the references again and again.
    auto rising = mapped(random, 110, heed::exp_features);
    for (const index t : {0, 15, 40, 66, 90})
        for (index e = t * 5; e < (t + 1) * 5; ++e)
            rising.in.k.data()[e] += 20 + static_cast<double>(t);
    check_pieces(rising, true);
}

TEST_CASE("the gradient of a state that a call goes on from") {
    generator random(1001);
    INFO("seed " << seed());
    check_differences(random, mapped(random, 40, heed::elu_plus_one), true);
    for (const index length : {1, 33, 70}) {
        INFO(length << " tokens");
        decayed fading(random, length);
        fading.g(1, 0, 0) = -1e30;  // begins anew: nothing before it matters
        check_differences(random, fading, false);
        updated rule(random, length);
        check_differences(random, rule, false);
        check_differences(random, faded(random, length), false);
        check_differences(random, faded_and_updated(random, length), false);
        check_differences(random, read_before(random, length), false);
        check_differences(random, faded_and_corrected(random, length), false);
        if (length == 1) continue;
        rule.g(0, 1, 0) = -HUGE_VAL;
        check_differences(random, rule, false, heed::key_lengths({length, index(0)}));
        const std::vector<index> offsets{0, 9, 9, length};
        check_differences(random, fading, false, heed::cumulative_lengths(offsets));
    }
}

TEST_CASE("gradients of states have the same bits for any threads, and end where none is wanted") {
    generator random(1002);
    Eigen::ThreadPool pool(3);
    const updated all(random, 70);
    const auto& in = all.in;
    all.with_parts(0, 70, [&](const auto&... parts) {
        state_type state;
        const auto run = [&](const auto&... more) {
            return heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, parts...,
                                                  heed::carry(state), more...);
        };
        REQUIRE(run().output.size() > 0);
        state_type before = state;
        const auto [o, stats] = run();
        state_gradient_type last = zeros_like(state, in.v.dimension(3), 5, false);
        last.matrices.setRandom();
        const auto back = [&, &o = o, &stats = stats](const auto&... more) {
            return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                                   parts..., heed::carry(before),
                                                   heed::state_gradient(last), more...);
        };
        const auto alone = back(), threaded = back(heed::on_pool(always_on(pool)));
        CHECK(same_bits(alone.state.matrices, threaded.state.matrices));
        CHECK(same_bits(alone.k, threaded.k));
        auto [dq, dk, dv, dg, dbeta] = alone;
        dk.setZero();
        heed::linear_attention_backward_into(heed::into(dq, dk, dv, dg, dbeta), in.d_o, o, stats,
                                             in.q, in.k, in.v, heed::causal, parts...,
                                             heed::carry(before), heed::state_gradient(last));
        CHECK(same_bits(alone.k, dk));
    });
}

}  // namespace test_state_gradient
