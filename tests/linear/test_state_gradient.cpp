#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
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
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/double_softmax.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/state_gradient.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/erase.hpp>
#include <heed/linear/updates/low_rank.hpp>

#include "linear/channel_problem.hpp"
#include "linear/decay_problem.hpp"
#include "linear/delta_problem.hpp"
#include "linear/erase_problem.hpp"
#include "linear/low_rank_problem.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"
#include "support/same_bits.hpp"

// Gradients through states, in double: what reaches the last one, and what the first one gets.

namespace test_state_gradient {

using namespace heed_test;
using heed::index;
using state_type = heed::linear_state<double>;
using state_gradient_type = heed::linear_state_gradient<double>;

/// Two sequences in which two heads of q read one of the state.
struct sequence {
    linear_problem from;
    linear_inputs<double> in;

    sequence(generator& random, index length)
        : from(random, {2, 4, 2, 2, length, length, 5, 3}), in(from) {}
};

/// A map, alone.
template <class Map>
struct mapped : sequence {
    Map map;

    mapped(generator& random, index length, Map of) : sequence(random, length), map(of) {}

    template <class F>
    auto with_parts(index, index, const F& f) const {
        return f(map);
    }
};
/// Decays that are learned, some of which begin anew.
struct decayed : sequence {
    tensor3<double> g;

    decayed(generator& random, index length)
        : sequence(random, length), g(to_decays<double>(random_decays(random, from.sizes, 2))) {}

    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(heed::learn(heed::log_decay(tokens(g, first, count))));
    }
};
/// The delta rule beside them.
struct updated : decayed {
    tensor3<double> beta;

    updated(generator& random, index length)
        : decayed(random, length), beta(to_decays<double>(random_deltas(random, from.sizes, 2))) {}

    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(heed::learn(heed::log_decay(tokens(g, first, count))),
                 heed::learn(heed::delta(tokens(beta, first, count))), heed::unit_rows);
    }
};

/// Erasing by channels, which are not learned here.
struct erased : decayed {
    erase_parts<double> of;

    erased(generator& random, index length)
        : decayed(random, length), of(erasing(random, from, 2, std::nullopt, true)) {}

    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(heed::learn(heed::log_decay(tokens(g, first, count))),
                 heed::erase(tokens(of.erased, first, count), tokens(of.written, first, count)),
                 heed::unit_rows);
    }
};

/// Decays a channel, some of which are cleared; with a bonus, which is not learned here.
struct faded : sequence {
    tensor4<double> g;

    faded(generator& random, index length)
        : sequence(random, length),
          g(to_tensor<double>(random_channel_decays(random, from.sizes, 2))) {}

    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(heed::learn(heed::log_decay(tokens(g, first, count))));
    }
};
struct faded_by_rule : faded {
    tensor3<double> beta;

    faded_by_rule(generator& random, index length)
        : faded(random, length), beta(to_decays<double>(random_deltas(random, from.sizes, 2))) {}

    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(heed::learn(heed::log_decay(tokens(g, first, count))),
                 heed::learn(heed::delta(tokens(beta, first, count))), heed::unit_rows);
    }
};
/// Updates of low rank beside decays of either kind.
template <class Decayed>
struct corrected : Decayed {
    low_rank_parts<double> of;

    corrected(generator& random, index length)
        : Decayed(random, length), of(correcting(random, this->from, 2, std::nullopt, true)) {}

    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(
            heed::learn(heed::log_decay(tokens(this->g, first, count))),
            heed::learn(heed::low_rank(tokens(of.a, first, count), tokens(of.b, first, count))),
            heed::unit_rows);
    }
};
struct read_before : faded {
    Eigen::MatrixXd u;

    read_before(generator& random, index length) : faded(random, length), u(4, 5) {
        for (index e = 0; e < u.size(); ++e) u.data()[e] = random.normal(1);
    }

    template <class F>
    auto with_parts(index first, index count, const F& f) const {
        return f(heed::learn(heed::log_decay(tokens(g, first, count))), heed::bonus(u));
    }
};

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
    const index n = in.q.dimension(2);
    const auto whole = all.with_parts(0, n, [&](const auto&... parts) {
        const auto [o, stats] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, parts...);
        return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                               parts...);
    });
    const std::vector<index> lines{0, 1, 20, 64, 70, n};
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
        outputs.emplace_back(2, 4, lines[p + 1] - lines[p], 3);
        kept.emplace_back();
        piece(p,
              [&](const auto& q, const auto& k, const auto& v, const auto&, const auto&... parts) {
                  heed::linear_attention_forward_into(outputs[p], kept[p], q, k, v, parts...,
                                                      heed::carry(states.back()));
              });
    }
    state_gradient_type next = zeros_like(states.back(), 3, 5, divides);
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
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                (compare_piece("learned", gradients.template of<I>(), whole.template of<I>(),
                               lines[p]),
                 ...);
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
    Eigen::Tensor<double, 4, Eigen::RowMajor> s(2, 2, 3, 5);
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
                    for (index c = 0; c < 3; ++c) sum += matrix(c, f) * last.matrices(b, h, c, f);
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
    check_pieces(faded_by_rule(random, 330), false);
    check_pieces(read_before(random, 330), false);
    check_pieces(corrected<decayed>(random, 170), false);
    check_pieces(corrected<faded>(random, 170), false);
    // Keys that rise above the references again and again.
    mapped rising(random, 110, heed::exp_features);
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
        check_differences(random, faded_by_rule(random, length), false);
        check_differences(random, read_before(random, length), false);
        check_differences(random, corrected<faded>(random, length), false);
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
        state_gradient_type last = zeros_like(state, 3, 5, false);
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
