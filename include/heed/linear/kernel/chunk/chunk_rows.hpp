#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/chunk/references.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Rows of a chunk on their way into its products: gathered, turned, mapped; and what divides their
/// sums.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Tokens of one sequence that a chunk takes.
struct chunk_tokens {
    index batch;
    index row;       ///< of q or k: index in the tensor
    index position;  ///< in the run
    index count;
};

/// Copies rows to whole vectors; whether all numbers are finite.
template <class T>
bool copy_padded(contiguous_rows<T> from, index count, index columns, written_rows<T> to) {
    constexpr index size = vec<T>::size;
    const index whole = columns / size * size;
    for (index r = 0; r < count; ++r) {
        for (index c = 0; c < whole; c += size) vec<T>::load(from[r] + c).store(to[r] + c);
        if (whole < columns)
            vec<T>::load_partial(from[r] + whole, columns - whole).store(to[r] + whole);
    }
    return all_finite<T>(to, count, columns);
}

/// Rows of numbers of `count` tokens by their steps, each at the `place`-th of its own; zeros stand
/// at the others. Copied to `buffer` only if they are not contiguous, or steps are several.
template <class T>
contiguous_rows<T> step_rows_of(const tensor_view<const T, 4>& x, index batch, index head,
                                index first, index count, index steps, index place, T* buffer) {
    if (steps == 1) return rows_of(x, batch, head, first, count, buffer);
    const index columns = x.extents[3];
    std::fill_n(buffer, static_cast<std::size_t>(count * steps * columns), T(0));
    for (index r = 0; r < count; ++r)
        for (index c = 0; c < columns; ++c)
            buffer[(r * steps + place) * columns + c] = x(batch, head, first + r, c);
    return {buffer, columns};
}

/// Of rows a step those of tokens: the last of each.
template <class Rows>
Rows rows_of_tokens(const Rows& rows, index steps) {
    return {rows[steps - 1], rows.stride * steps};
}

/// Features of a chunk of queries, and how they are to be divided.
template <class T>
class chunk_rows {
  public:
    chunk_rows(const linear_program<T>& of, arena& scratch)
        : program_(of),
          scratch_(scratch),
          width_(padded<T>(of.map->feature_count)),
          gathered_(scratch.take<T>(chunk_length * padded<T>(of.shape.dim))),
          queries_(take(scratch, width_)),
          turned_queries_(of.turns_features() || of.steps() > 1 ? take(scratch, width_) : queries_),
          turned_keys_(of.turns_features() ? take(scratch, width_) : written_rows<T>{}),
          stepped_keys_(of.steps() > 1 ? take(scratch, width_) : written_rows<T>{}),
          prefixes_(take(scratch, width_)),
          z_(scratch.take<T>(chunk_length)),
          factor_(scratch.take<T>(chunk_length)),
          shift_(scratch.take<T>(chunk_length)) {}

    /// Rows of a chunk, with memory on both sides for those that products compute beyond it and
    /// drop.
    static written_rows<T> take(arena& scratch, index width) {
        T* memory = scratch.take<T>((chunk_length + 2 * spare_rows) * width);
        return {memory + spare_rows * width, width};
    }

    const linear_program<T>& program() const { return program_; }
    index features() const { return program_.map->feature_count; }

    /// Rows of q or k as the map is given them.
    contiguous_rows<T> inputs(const tensor_view<const T, 4>& x, index head, const chunk_tokens& at,
                              typename row_turn<T>::side side) {
        if (!program_.turns_inputs()) {
            const auto rows = rows_of(x, at.batch, head, at.row, at.count, gathered_);
            return rows;
        }
        copy_rows(x, at.batch, head, at.row, at.count, gathered_);
        const written_rows<T> rows{gathered_, program_.shape.dim};
        program_.turn->turn(side, row_turn<T>::way::forth, rows, at.batch, at.position, at.count);
        return rows;
    }

    /// φ of keys, to rows of the caller's.
    void map_keys(index head, const chunk_tokens& at, written_rows<T> to) {
        const arena::scope mark(scratch_);
        const auto x = inputs(program_.k, program_.key_head(head), at, row_turn<T>::side::key);
        program_.map->keys(x, {program_.first(at.batch) + at.position, at.count}, to, scratch_);
    }
    /// The same as the products take them: turned, if an encoding turns features.
    written_rows<T> turn_keys(written_rows<T> rows, const chunk_tokens& at) {
        if (!program_.turns_features()) return rows;
        return turn_copy(rows, turned_keys_, at, row_turn<T>::side::key);
    }

    /// Those by the steps of their tokens: b_t before k_t where these are two.
    written_rows<T> step_keys(index head, const chunk_tokens& at, written_rows<T> keys) {
        if (program_.steps() == 1) return keys;
        const auto b =
            rows_of(program_.b, at.batch, program_.update_head(head), at.row, at.count, gathered_);
        copy_padded<T>(b, at.count, program_.shape.dim,
                       {stepped_keys_.data, 2 * stepped_keys_.stride});
        for (index r = 0; r < at.count; ++r)
            std::copy_n(keys[r], static_cast<std::size_t>(width_), stepped_keys_[2 * r + 1]);
        return stepped_keys_;
    }

    /// Keys that S takes, as an update reads S by them: e⊙k; by steps −a and nothing.
    void read_keys(index head, const chunk_tokens& at, contiguous_rows<T> keys,
                   written_rows<T> to) {
        if (program_.updates_channels()) {
            multiply_rows_of(program_.erased, head, at, keys, gathered_, to);
        } else if (program_.low_rank()) {
            const auto a = rows_of(program_.a, at.batch, program_.update_head(head), at.row,
                                   at.count, gathered_);
            const index columns = program_.shape.dim;
            for (index r = 0; r < at.count; ++r) {
                for (index f = 0; f < width_; f += vec<T>::size)
                    (-vec<T>::load_partial(a[r] + f, columns - f)).store(to[2 * r] + f);
                std::fill_n(to[2 * r + 1], static_cast<std::size_t>(width_), T(0));
            }
        } else {
            for (index r = 0; r < at.count; ++r)
                std::copy_n(keys[r], static_cast<std::size_t>(width_), to[r]);
        }
    }
    /// Values as an update writes them, w⊙v, in place; `gathered` is memory for as many.
    void write_values(index head, const chunk_tokens& at, written_rows<T> values,
                      T* gathered) const {
        if (program_.updates_channels())
            multiply_rows_of(program_.written, head, at, values, gathered, values);
    }
    /// to = x⊙those rows of an update's numbers, `gathered` being memory for them.
    void multiply_rows_of(const tensor_view<const T, 4>& numbers, index head,
                          const chunk_tokens& at, contiguous_rows<T> x, T* gathered,
                          written_rows<T> to) const {
        const auto by =
            rows_of(numbers, at.batch, program_.update_head(head), at.row, at.count, gathered);
        const index columns = numbers.extents[3];
        for (index r = 0; r < at.count; ++r)
            for (index c = 0; c < columns; c += vec<T>::size)
                (vec<T>::load(x[r] + c) * vec<T>::load_partial(by[r] + c, columns - c))
                    .store(to[r] + c);
    }

    /// φ of queries, relative to these references; queries() and turned_queries() are they.
    void map_queries(index head, const chunk_tokens& at, const T* reference) {
        const arena::scope mark(scratch_);
        const auto x = inputs(program_.q, program_.query_head(head), at, row_turn<T>::side::query);
        program_.map->queries(x, {program_.first(at.batch) + at.position, at.count}, queries_,
                              scratch_);
        if (program_.map->divides_features)
            std::fill_n(shift_, static_cast<std::size_t>(at.count), T(0));
        else if (program_.map->keeps_reference)
            relate_queries(queries_, at.count, features(), reference, shift_);
        if (program_.turns_features())
            turn_copy(queries_, turned_queries_, at, row_turn<T>::side::query);
        if (program_.steps() > 1)
            step_queries(program_.turns_features() ? turned_queries_ : queries_, at.count);
    }
    written_rows<T> queries() const { return queries_; }
    /// Each feature over its sum, of the keys' sums from row `first` on; 0 where there is no key.
    void divide_queries(index first, index count) {
        const vec<T> zero(T(0));
        for (index r = 0; r < count; ++r) {
            for (index f = 0; f < width_; f += vec<T>::size) {
                const vec<T> sum = vec<T>::load(prefixes_[first + r] + f);
                const vec<T> x = vec<T>::load(queries_[r] + f);
                select(sum == zero, zero, x / sum).store(queries_[r] + f);
            }
        }
    }
    /// As the products take them: a row each step, a query at the last of its token's.
    written_rows<T> turned_queries() const { return turned_queries_; }

    /// Row r is Z + Σ φ(k_j) of the chunk's keys up to the r-th of `count` new ones, by which
    /// `running` advances.
    void sum_keys(const head_sums<T>& head, contiguous_rows<T> keys, index count) {
        constexpr index size = vec<T>::size;
        for (index f = 0; f < width_; f += size) {
            const vec<T> before = vec<T>::load(head.total + f);
            vec<T> sum = vec<T>::load(head.running + f);
            for (index r = 0; r < count; ++r) {
                sum += vec<T>::load(keys[r] + f);
                (before + sum).store(prefixes_[r] + f);
            }
            sum.store(head.running + f);
        }
    }
    /// All `count` rows are Z + Σ φ(k_j) of the chunk's keys.
    void repeat_sum(const head_sums<T>& head, index count) {
        constexpr index size = vec<T>::size;
        for (index f = 0; f < width_; f += size) {
            const vec<T> sum = vec<T>::load(head.total + f) + vec<T>::load(head.running + f);
            for (index r = 0; r < count; ++r) sum.store(prefixes_[r] + f);
        }
    }
    contiguous_rows<T> prefixes() const { return prefixes_; }

    /// z of `count` queries, by those sums from row `first` on.
    const T* denominators(index first, index count) {
        for (index r = 0; r < count; ++r) z_[r] = dot_features(queries_[r], prefixes_[first + r]);
        return z_;
    }
    /// What N_i of the mapped queries is multiplied by.
    const T* factors(index head, const T* z, index count) {
        const denominator_rule<T>& rule = program_.denominator;
        for (index r = 0; r < count; ++r) {
            if (!rule.divides)
                factor_[r] = (rule.scale == nullptr ? T(1) : rule.scale[head]) * unit(r, 1);
            else if (z[r] == T(0) && rule.least == T(0))
                factor_[r] = T(0);
            else
                factor_[r] = T(1) / std::max(z[r], least(r));  // NaN stays
        }
        return factor_;
    }
    /// The least denominator of a mapped query, as its z is.
    T least(index row) const {
        const T given = program_.denominator.least;
        return given == T(0) ? T(0) : given * unit(row, -1);
    }

    arena& scratch() const { return scratch_; }

  private:
    /// a·b of rows of features, which are whole vectors.
    T dot_features(const T* a, const T* b) const {
        vec<T> sum(T(0));
        for (index f = 0; f < width_; f += vec<T>::size)
            sum = fma(vec<T>::load(a + f), vec<T>::load(b + f), sum);
        return reduce_add(sum);
    }
    /// 2^±shift: what features of a query were divided by, or its inverse.
    T unit(index row, int sign) const {
        if (!program_.map->keeps_reference) return T(1);
        return std::exp2(sign > 0 ? shift_[row] : -shift_[row]);
    }
    written_rows<T> turn_copy(contiguous_rows<T> from, written_rows<T> to, const chunk_tokens& at,
                              typename row_turn<T>::side side) {
        for (index r = 0; r < at.count; ++r)
            std::copy_n(from[r], static_cast<std::size_t>(width_), to[r]);
        program_.turn->turn(side, row_turn<T>::way::forth, to, at.batch, at.position, at.count);
        return to;
    }

    /// From the last one to the first: they may lie where they go to.
    void step_queries(contiguous_rows<T> from, index count) const {
        const auto width = static_cast<std::size_t>(width_);
        for (index r = count; r-- > 0;) {
            std::copy_n(from[r], width, turned_queries_[2 * r + 1]);
            std::fill_n(turned_queries_[2 * r], width, T(0));
        }
    }

    const linear_program<T>& program_;
    arena& scratch_;
    index width_;
    T* gathered_;
    written_rows<T> queries_, turned_queries_, turned_keys_, stepped_keys_, prefixes_;
    T *z_, *factor_, *shift_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
