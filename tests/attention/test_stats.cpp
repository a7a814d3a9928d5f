#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"

// Stats are those of one call that has ended: backward of any other, or of none, is refused before
// it reads or writes anything.

namespace test_stats {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

const std::string of_no_call =
    "stats are those of no call, but must be those of a forward call that has ended: these are as "
    "they were made, moved from, or of a call that threw";

/// A modifier that changes nothing, and throws when the calls it has left have been made.
struct fuse {
    std::shared_ptr<index> left = std::make_shared<index>(-1);
    bool of_memory = false;

    template <class T>
    heed::vec<T> operator()(heed::vec<T> s) const {
        if (*left == 0) {
            if (of_memory) throw std::bad_alloc();
            throw std::runtime_error("the user's");
        }
        if (*left > 0) --*left;
        return s;
    }
};

/// A normaliser, scalar by scalar: forward into stats, and backward from them.
template <class T, class Normaliser>
struct calls {
    Normaliser normaliser;
    fuse blown{};

    using stats_type = heed::stats_for<T, Normaliser>;

    auto part() const {
        return heed::modifier(blown, [](heed::vec<T>) { return heed::vec<T>(T(1)); });
    }
    tensor4<T> forward(stats_type& stats, const inputs<T>& in) const {
        tensor4<T> o(in.d_o.dimensions());
        heed::attention_forward_into(o, stats, in.q, in.k, in.v, part(), normaliser);
        return o;
    }
    auto backward(const stats_type& stats, const inputs<T>& in, const tensor4<T>& o) const {
        return heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part(), normaliser);
    }

    /// Backward takes the stats, and gives the gradients of fresh ones.
    void check_taken(const stats_type& stats, const inputs<T>& in) const {
        stats_type fresh;
        const auto o = forward(fresh, in);
        const auto expected = backward(fresh, in, o), given = backward(stats, in, o);
        CHECK(same_bits(given.q, expected.q));
        CHECK(same_bits(given.k, expected.k));
        CHECK(same_bits(given.v, expected.v));
    }
    template <class Error>
    void check_refused(const std::string& message, const stats_type& stats,
                       const inputs<T>& in) const {
        tensor4<T> dq(in.q.dimensions()), dk(in.k.dimensions()), dv(in.v.dimensions());
        for (auto* x : {&dq, &dk, &dv}) x->setConstant(T(42));
        heed_test::check_refused<Error>(message, [&] {
            heed::attention_backward_into(heed::into(dq, dk, dv), in.d_o, in.d_o, stats, in.q, in.k,
                                          in.v, part(), normaliser);
        });
        for (const auto* x : {&dq, &dk, &dv})
            CHECK(std::all_of(x->data(), x->data() + x->size(), [](T e) { return e == T(42); }));
    }
    void check_empty(const stats_type& stats, const inputs<T>& in) const {
        check_refused<heed::argument_error>(of_no_call, stats, in);
        CHECK(stats.extents() == std::array<index, 3>{0, 0, 0});
        CHECK_THROWS_AS(stats.row(0, 0, 0), heed::argument_error);
        if constexpr (std::is_same_v<Normaliser, heed::softmax_normaliser>) {
            CHECK(stats.log_sum_exp().size() == 0);
            CHECK_THROWS_AS(stats.log_sum_exp(0, 0, 0), heed::argument_error);
        }
        if constexpr (heed::detail::is_sparse<typename stats_type::stream_type>)
            CHECK_THROWS_AS(stats.support_size(0, 0, 0), heed::argument_error);
    }
};

std::string shapes(const extents& e) {
    const auto shape = [](index a, index b, index c, index d) {
        return "[" + std::to_string(a) + ", " + std::to_string(b) + ", " + std::to_string(c) +
               ", " + std::to_string(d) + "]";
    };
    return shape(e.batch, e.heads, e.queries, e.dim) + ", " +
           shape(e.batch, e.kv_heads, e.keys, e.dim) + " and " +
           shape(e.batch, e.kv_heads, e.keys, e.value_dim);
}

/// Every way to stats that are of another call, or of none.
template <class T, class Normaliser>
void check_stats(std::uint64_t stream, const Normaliser& normaliser) {
    generator random(stream);
    calls<T, Normaliser> call{normaliser};
    using stats_type = typename calls<T, Normaliser>::stats_type;

    // Shapes that differ in one extent each, in memory that held the larger ones before.
    const extents base{2, 4, 2, 9, 40, 6, 5};
    std::vector<extents> all{base};
    for (index extents::*const one :
         {&extents::batch, &extents::queries, &extents::keys, &extents::dim, &extents::value_dim}) {
        for (const index change : {-1, 1, 300}) {
            all.push_back(base);
            all.back().*one += change;
        }
    }
    all.push_back({2, 4, 4, 9, 40, 6, 5});  // as many heads of k as of q
    all.push_back({2, 2, 2, 9, 40, 6, 5});
    all.push_back({2, 4, 1, 9, 40, 6, 5});
    all.push_back({4, 2, 2, 9, 40, 6, 5});  // as many rows
    stats_type stats;
    const inputs<T> in(random, base);
    call.check_empty(stats, in);
    for (const extents& e : all) {
        INFO(to_string(e));
        const inputs<T> other(random, e);
        call.forward(stats, other);
        call.check_taken(stats, other);
        if (&e == &all.front()) continue;
        call.template check_refused<heed::shape_error>("stats are those of q, k and v of shapes " +
                                                           shapes(e) + ", but must be those of " +
                                                           shapes(base),
                                                       stats, in);
    }

    // A row that there is not.
    call.forward(stats, in);
    for (const auto& [b, h, i] : {std::array<index, 3>{2, 0, 0}, {0, 4, 0}, {0, 0, 9}, {-1, 0, 0}})
        CHECK_THROWS_AS(stats.row(b, h, i), heed::argument_error);
    CHECK_THROWS_WITH(stats.row(0, 4, 0), "stats have rows [2, 4, 9], but not [0, 4, 0]");

    // Copied and moved, to new ones and over others.
    stats_type copy(stats), moved(std::move(stats));
    call.check_empty(stats, in);
    call.check_taken(copy, in);
    call.check_taken(moved, in);
    stats_type over;
    call.forward(over, inputs<T>(random, all[1]));
    over = std::move(moved);
    call.check_empty(moved, in);
    call.check_taken(over, in);
    moved = over;
    call.check_taken(moved, in);
    call.check_taken(over, in);
    auto& same = moved;
    moved = same;
    moved = std::move(same);
    call.check_taken(moved, in);
    over = stats_type();
    call.check_empty(over, in);

    // A call that was refused has not begun; one that threw has not ended. The next one is whole.
    tensor4<T> wrong(1, 1, 1, 1);
    CHECK_THROWS_AS(
        heed::attention_forward_into(wrong, moved, in.q, in.k, in.v, call.part(), normaliser),
        heed::shape_error);
    call.check_taken(moved, in);
    const inputs<T> larger(random, {2, 4, 2, 9, 400, 6, 5});
    for (int round = 0; round < 12; ++round) {
        call.forward(moved, round % 2 == 0 ? in : larger);
        call.blown.of_memory = round % 3 == 0;
        *call.blown.left = random.integer(0, 200);  // vectors: the call has 216 at least
        CHECK_THROWS_AS(call.forward(moved, in), std::exception);
        *call.blown.left = -1;
        call.check_empty(moved, in);
        call.check_empty(moved, larger);
        call.forward(moved, in);
        call.check_taken(moved, in);
    }
}

TEST_CASE("softmax's stats are those of one call") { check_stats<float>(151, heed::softmax); }
TEST_CASE("stats of whole rows are those of one call") {
    check_stats<double>(152, heed::entropy_normalised(1));
}
TEST_CASE("stats with supports are those of one call") { check_stats<float>(153, heed::entmax15); }

/// A normaliser whose copy may fail.
struct brittle : heed::entmax15_normaliser {
    std::shared_ptr<bool> breaks = std::make_shared<bool>(false);

    brittle() = default;
    brittle(const brittle& other) : entmax15_normaliser(other), breaks(other.breaks) {
        if (*breaks) throw std::bad_alloc();
    }
};

TEST_CASE("a copy of stats that fails leaves those of no call, or what there was") {
    const heed::attention_shape shape{1, 2, 2, 3, 4, 5, 6}, other{2, 2, 2, 30, 4, 5, 6};
    const brittle normaliser;
    heed::stats<float, brittle> from, to;
    const auto fill = [&](auto& stats, const heed::attention_shape& of) {
        stats.begin(of, normaliser);
        stats.end(of);
    };
    fill(from, shape);
    fill(to, other);
    *normaliser.breaks = true;
    CHECK_THROWS_AS(to = from, std::bad_alloc);  // copied before anything is given up
    to.check(other);
    CHECK_THROWS_AS(to = std::move(from), std::bad_alloc);
    CHECK_THROWS_AS(to.check(other), heed::argument_error);
    CHECK_THROWS_AS(to.check(shape), heed::argument_error);
    CHECK_THROWS_AS(to.begin(other, normaliser), std::bad_alloc);
    CHECK_THROWS_AS(to.check(other), heed::argument_error);
    *normaliser.breaks = false;
    fill(to, shape);
    to.check(shape);
}

}  // namespace test_stats
