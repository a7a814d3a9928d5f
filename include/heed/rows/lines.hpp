#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Rows of numbers as lines of vectors, so that one text of a row's algorithm serves every layout.
///
/// A line is what a kernel walks along. Side by side in memory, one row is a line whose vector k
/// holds elements k·size, k·size + 1, …, and a sum along the row ends with a sum over the lanes.
/// In column-major memory, `size` neighbouring rows are a line whose vector k holds element k of
/// each: a lane a row, and the lanes never meet.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Vector `number` of a line, all of it: where an algorithm stands.
struct whole_vector {
    index number;
};
/// The last vector of a contiguous line, `count` elements of it.
struct part_vector {
    index number;
    index count;
};

/// One row whose elements lie side by side.
template <class T>
struct contiguous_line {
    using vector = vec<std::remove_const_t<T>>;
    static constexpr index size = vector::size;

    T* data;
    index length;

    index whole() const { return length / size; }
    index rest() const { return length % size; }

    vector load(whole_vector at, double = 0) const { return vector::load(data + at.number * size); }
    vector load(part_vector at, double fill = 0) const {
        return vector::load_partial(data + at.number * size, at.count,
                                    static_cast<typename vector::scalar>(fill));
    }
    void store(whole_vector at, vector v) const { v.store(data + at.number * size); }
    void store(part_vector at, vector v) const {
        v.store_partial(data + at.number * size, at.count);
    }

    static vector sum(vector v) { return reduce_add(v); }
    static vector greatest(vector v) { return reduce_max(v); }
};

/// One row whose elements lie `step` apart: right everywhere, fast nowhere.
template <class T>
struct strided_line {
    using vector = vec<std::remove_const_t<T>>;
    static constexpr index size = vector::size;

    T* data;
    index length;
    index step;

    index whole() const { return length / size; }
    index rest() const { return length % size; }

    vector load(whole_vector at, double = 0) const {
        return vector::load_strided(data + at.number * size * step, step);
    }
    vector load(part_vector at, double fill = 0) const {
        return vector::load_strided(data + at.number * size * step, step, at.count,
                                    static_cast<typename vector::scalar>(fill));
    }
    void store(whole_vector at, vector v) const {
        v.store_strided(data + at.number * size * step, step);
    }
    void store(part_vector at, vector v) const {
        v.store_strided(data + at.number * size * step, step, at.count);
    }

    static vector sum(vector v) { return reduce_add(v); }
    static vector greatest(vector v) { return reduce_max(v); }
};

/// As many rows as a vector has lanes, or the last `rows` of them; element k of each is `step`
/// behind element k − 1, and the rows lie side by side.
template <class T>
struct lane_line {
    using vector = vec<std::remove_const_t<T>>;

    T* data;
    index length;
    index step;
    index rows;

    index whole() const { return length; }
    index rest() const { return 0; }

    vector load(whole_vector at, double = 0) const {
        return vector::load_partial(data + at.number * step, rows);
    }
    vector load(part_vector, double = 0) const { return vector(0); }  // never called
    void store(whole_vector at, vector v) const { v.store_partial(data + at.number * step, rows); }
    void store(part_vector, vector) const {}

    static vector sum(vector v) { return v; }
    static vector greatest(vector v) { return v; }
};

/// Calls f(i, at) for vectors first ≤ k < last, with i = k modulo 4, a constant once it is inlined:
/// four chains hide the latency of an addition.
template <class F>
[[gnu::always_inline]] inline void sweep(index first, index last, F&& f) {
    index k = first;
    for (; k + 4 <= last; k += 4)
        unroll<4>([&](int i) __attribute__((always_inline)) { f(i, whole_vector{k + i}); });
    for (; k < last; ++k) f(0, whole_vector{k});
}

/// Calls f(at) for every vector of the line.
template <class Line, class F>
[[gnu::always_inline]] inline void for_each_vector(const Line& line, F&& f) {
    sweep(
        0, line.whole(), [&](int, auto at) __attribute__((always_inline)) { f(at); });
    if (line.rest() > 0) f(part_vector{line.whole(), line.rest()});
}

/// A sum of vectors, and what its additions lost: the error of a long chain of mere additions grows
/// with its length.
template <class Vector>
class compensated_sum {
  public:
    explicit compensated_sum(Vector sum = 0) : sum_(sum) {}

    /// The sum so far times a factor.
    [[gnu::always_inline]] void scale(Vector factor) {
        const Vector scaled = fma(sum_, factor, Vector(0));
        lost_ = fma(lost_, factor, fma(sum_, factor, -scaled));
        sum_ = scaled;
    }
    [[gnu::always_inline]] void add(Vector x) {
        const Vector next = sum_ + x, of_x = next - sum_;
        lost_ += (sum_ - (next - of_x)) + (x - of_x);
        sum_ = next;
    }
    /// Where the sum is infinite, what is lost is no number.
    [[gnu::always_inline]] Vector value() const {
        return select(is_nan(lost_), sum_, sum_ + lost_);
    }

  private:
    Vector sum_, lost_{0};
};

/// The sum of a row, in every lane of it: `f(at, so_far)` adds vector `at` to a sum so far. Blocks
/// of 256 vectors are summed from zero; the sum of the blocks is compensated.
template <class Line, class F>
[[gnu::always_inline]] inline auto sum_over(const Line& line, F&& f) {
    using vector = typename Line::vector;
    constexpr index block = 256;
    vector total(0);
    compensated_sum<vector> blocks;
    for (index first = 0; first < line.whole(); first += block) {
        vector part[4] = {0, 0, 0, 0};
        sweep(
            first, line.whole() - first < block ? line.whole() : first + block,
            [&](int i, auto at) __attribute__((always_inline)) { part[i] = f(at, part[i]); });
        total = (part[0] + part[1]) + (part[2] + part[3]);
        if (line.whole() > block) blocks.add(total);
    }
    if (line.whole() > block) total = blocks.value();
    if (line.rest() > 0) total = f(part_vector{line.whole(), line.rest()}, total);
    return Line::sum(total);
}

/// The greatest element of a row, in every lane of it; −∞ of none. NaNs are passed over: they come
/// out of the exponentials.
template <class Line>
[[gnu::always_inline]] inline auto maximum_over(const Line& line) {
    using vector = typename Line::vector;
    constexpr auto lowest = -std::numeric_limits<typename vector::scalar>::infinity();
    vector greatest[4] = {lowest, lowest, lowest, lowest};
    const auto take = [&](int i, auto at) __attribute__((always_inline)) {
        greatest[i] = max(line.load(at, lowest), greatest[i]);  // of a NaN and a number, the second
    };
    sweep(0, line.whole(), take);
    if (line.rest() > 0) take(0, part_vector{line.whole(), line.rest()});
    return Line::greatest(max(max(greatest[0], greatest[1]), max(greatest[2], greatest[3])));
}

/// The greatest |element| of a row that is not infinite, in every lane of it; 0 of none.
template <class Line>
[[gnu::always_inline]] inline auto largest_finite_magnitude(const Line& line) {
    using vector = typename Line::vector;
    const vector zero(0), infinity(std::numeric_limits<typename vector::scalar>::infinity());
    vector greatest[4] = {0, 0, 0, 0};
    const auto take = [&](int i, auto at) __attribute__((always_inline)) {
        const vector magnitude = abs(line.load(at));
        greatest[i] = max(select(magnitude < infinity, magnitude, zero), greatest[i]);
    };
    sweep(0, line.whole(), take);
    if (line.rest() > 0) take(0, part_vector{line.whole(), line.rest()});
    return Line::greatest(max(max(greatest[0], greatest[1]), max(greatest[2], greatest[3])));
}

/// max|x| of a row, in every lane of it; 0 of none. NaNs are passed over.
template <class Line>
[[gnu::always_inline]] inline auto greatest_magnitude(const Line& x) {
    typename Line::vector greatest(0);
    for_each_vector(
        x, [&](auto at)
               __attribute__((always_inline)) { greatest = max(abs(x.load(at)), greatest); });
    return Line::greatest(greatest);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
