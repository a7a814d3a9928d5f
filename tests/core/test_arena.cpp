#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include <heed/core/arena.hpp>
#include <heed/core/workspace.hpp>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_arena {

template <class T>
bool is_aligned(const T* piece) {
    return reinterpret_cast<std::uintptr_t>(piece) % heed::arena::alignment == 0;
}

/// Takes pieces of random sizes, nested scopes included, writes to them, and checks that none was
/// overwritten by another.
void use(heed::arena& memory, heed_test::generator& random, int depth = 0) {
    const heed::arena::scope scope(memory);
    std::vector<std::pair<std::uint32_t*, heed::index>> pieces;
    for (std::uint32_t i = 0; i < 10; ++i) {
        const heed::index count = random.integer(0, random.chance(0.1) ? 200000 : 100);
        auto* piece = memory.take<std::uint32_t>(count);
        REQUIRE(is_aligned(piece));
        std::fill(piece, piece + count, i);
        pieces.push_back({piece, count});
        if (depth < 3 && random.chance(0.3)) use(memory, random, depth + 1);
    }
    for (std::uint32_t i = 0; i < 10; ++i) {
        const auto [piece, count] = pieces[i];
        REQUIRE(std::all_of(piece, piece + count, [i](std::uint32_t x) { return x == i; }));
    }
}

TEST_CASE("pieces of an arena are aligned and do not overlap") {
    heed_test::generator random;
    heed::arena memory;
    for (int repeat = 0; repeat < 20; ++repeat) {
        use(memory, random);
        REQUIRE(memory.used() == 0);
    }
}

TEST_CASE("what was taken stays where it is while the arena grows") {
    heed::arena memory;
    const heed::arena::scope scope(memory);
    auto* first = memory.take<double>(3);
    first[2] = 42;
    for (int i = 0; i < 10; ++i) memory.take<double>(100000);
    REQUIRE(first[2] == 42);
}

TEST_CASE("the same use a second time allocates nothing") {
    heed::arena memory;
    const auto twice = [&](auto&& work) {
        work();
        const std::size_t before = heed_test::allocations();
        work();
        return heed_test::allocations() - before;
    };
    REQUIRE(twice([&] {
                const heed::arena::scope scope(memory);
                for (heed::index i = 0; i < 100; ++i) memory.take<float>(1000 * i);
            }) == 0);
    // In another order, too: one chunk holds it all.
    REQUIRE(twice([&] {
                const heed::arena::scope scope(memory);
                for (heed::index i = 100; i-- > 0;) memory.take<float>(1000 * i);
            }) == 0);
}

TEST_CASE("a large chunk begins at a huge page, a small one does not take one") {
    constexpr std::size_t huge = heed::detail::huge_page;
    for (const std::size_t bytes : {huge - 1, huge, huge + 1, 5 * huge}) {
        heed::arena memory;
        memory.require(bytes);
        const std::size_t capacity = memory.capacity();
        REQUIRE(capacity >= bytes);
        REQUIRE(capacity < bytes + huge);
        if (bytes < huge) REQUIRE(capacity == bytes);
        const heed::arena::scope scope(memory);
        auto* piece = memory.take<std::byte>(static_cast<heed::index>(bytes));
        if (bytes >= huge) REQUIRE(reinterpret_cast<std::uintptr_t>(piece) % huge == 0);
        std::fill(piece, piece + bytes, std::byte(7));
    }
}

TEST_CASE("memory that was required is there") {
    heed::arena memory;
    memory.require(1 << 20);
    REQUIRE(memory.capacity() >= 1 << 20);
    const std::size_t before = heed_test::allocations();
    {
        const heed::arena::scope scope(memory);
        memory.take<std::byte>(1 << 19);
        memory.take<std::byte>(1 << 19);
    }
    REQUIRE(heed_test::allocations() == before);
    memory.clear();
    REQUIRE(memory.capacity() == 0);
}

TEST_CASE("the peak counts from where it is watched") {
    heed::arena memory;
    const heed::arena::scope scope(memory);
    memory.take<std::byte>(640);
    memory.watch_peak();
    REQUIRE(memory.peak() == 640);
    {
        const heed::arena::scope inner(memory);
        memory.take<std::byte>(64);
    }
    REQUIRE(memory.peak() == 704);
    REQUIRE(memory.used() == 640);
}

TEST_CASE("an arena refuses what cannot be") {
    heed::arena memory;
    REQUIRE_THROWS_AS(memory.take<double>(-1), std::bad_alloc);
    REQUIRE_THROWS_AS(memory.take<double>(std::numeric_limits<heed::index>::max()), std::bad_alloc);
    REQUIRE(memory.used() == 0);
    const heed::arena::scope scope(memory);
    REQUIRE(memory.take<double>(1) != nullptr);
}

TEST_CASE("a workspace grows by slots that stay where they are") {
    heed::workspace scratch;
    REQUIRE(scratch.slots() == 1);
    heed::arena* first = &scratch.slot(0);
    scratch.reserve_slots(100);
    REQUIRE(scratch.slots() == 100);
    REQUIRE(first == &scratch.slot(0));
    REQUIRE(&heed::thread_workspace() == &heed::thread_workspace());
    REQUIRE(heed::in(scratch).memory == &scratch);
}

}  // namespace test_arena
