#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/backward/backward_walk.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/rows_ahead.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// From the gradients of rows of features to those of q and k, and where they and those of v are
/// written.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A walk over a run of one head that writes what it finds.
template <class T>
class backward_results : public backward_walk<T> {
    using walk = backward_walk<T>;

  public:
    /// Keys that no run holds, and keys and queries of no document, have gradients of 0.
    void put_padding(index batch, index head, index first) {
        const index dim = program_.shape.dim;
        std::fill_n(d_inputs_.data, static_cast<std::size_t>(chunk_length * dim), T(0));
        std::fill_n(d_values_.data, static_cast<std::size_t>(chunk_length * d_values_.stride),
                    T(0));
        walk::for_chunks(first, program_.shape.keys, [&](index row, index count) {
            put_rows<T>(of_.dk, batch, program_.key_head(head), row, count, d_inputs_,
                        adds_to(program_.shape.key_heads, head));
            put_rows<T>(of_.dv, batch, program_.value_head(head), row, count, d_values_,
                        adds_to(program_.shape.value_heads, head));
        });
    }

  protected:
    using walk::batch_;
    using walk::decays_;
    using walk::head_;
    using walk::program_;
    using walk::rows_;
    using walk::scratch_;

    backward_results(const linear_program<T>& program, const linear_gradients<T>& of,
                     arena& scratch)
        : backward_walk<T>(program, of, scratch),
          of_(of),
          d_features_(chunk_rows<T>::take(scratch, walk::width_)),
          d_values_(chunk_rows<T>::take(scratch, walk::columns_)),
          d_inputs_{scratch.take<T>(chunk_length * padded<T>(program.shape.dim)),
                    program.shape.dim} {}
    ~backward_results() = default;

    /// d_features_ are those of loaded queries, turned; `prefix` as in forward_head::query_rows.
    void put_d_queries(index i, index count, index prefix) {
        const chunk_tokens at = walk::query_tokens(i, count);
        const written_rows<T> d_rows = rows_of_tokens(d_features_, walk::steps_);
        if (program_.turns_features())
            program_.turn->turn(side::query, way::back, d_rows, batch_, at.position, at.count);
        if (program_.denominator.divides) {
            const auto sums = rows_.prefixes();
            add_rows_times<T>(walk::outputs_.dz(), {sums[prefix], sums.stride}, count, walk::width_,
                              d_rows);
        }
        decays_.take_queries(i + walk::offset_, count, rows_.queries(), d_rows);
        const arena::scope mark(scratch_);
        const auto x = rows_.inputs(program_.q, program_.query_head(head_), at, side::query);
        program_.map->queries_back(x, {program_.first(batch_) + at.position, at.count},
                                   rows_.queries(), d_rows, d_inputs_, scratch_);
        if (program_.turns_inputs())
            program_.turn->turn(side::query, way::back, d_inputs_, batch_, at.position, at.count);
        put_rows<T>(of_.dq, batch_, program_.query_head(head_), at.row, at.count, d_inputs_,
                    adds_to(program_.shape.query_heads, head_));
    }
    /// Queries before all keys.
    void put_no_queries(index i, index count) {
        const chunk_tokens at = walk::query_tokens(i, count);
        std::fill_n(d_inputs_.data, static_cast<std::size_t>(at.count * d_inputs_.stride), T(0));
        put_rows<T>(of_.dq, batch_, program_.query_head(head_), at.row, at.count, d_inputs_,
                    adds_to(program_.shape.query_heads, head_));
    }

    void put_queries_before() {
        walk::for_chunks(0, walk::before(),
                         [&](index i, index count) { put_no_queries(i, count); });
    }

    /// d_features_ are those of loaded keys, turned.
    void turn_and_put_d_keys(index p, index count) {
        const chunk_tokens at = walk::key_tokens(p, count);
        if (program_.turns_features())
            program_.turn->turn(side::key, way::back, rows_of_tokens(d_features_, walk::steps_),
                                batch_, at.position, at.count);
        put_d_keys(p, count);
    }
    /// The same, not turned any more.
    void put_d_keys(index p, index count) {
        const chunk_tokens at = walk::key_tokens(p, count);
        const arena::scope mark(scratch_);
        const auto x = rows_.inputs(program_.k, program_.key_head(head_), at, side::key);
        program_.map->keys_back(x, {program_.first(batch_) + at.position, at.count}, walk::keys_,
                                rows_of_tokens(d_features_, walk::steps_), d_inputs_, scratch_);
        if (program_.turns_inputs())
            program_.turn->turn(side::key, way::back, d_inputs_, batch_, at.position, at.count);
        put_rows<T>(of_.dk, batch_, program_.key_head(head_), at.row, at.count, d_inputs_,
                    adds_to(program_.shape.key_heads, head_));
    }
    /// d_values_ are those of keys p …
    void put_d_values(index p, index count) { put_d_values(p, count, d_values_); }
    void put_d_values(index p, index count, contiguous_rows<T> rows) {
        const chunk_tokens at = walk::key_tokens(p, count);
        put_rows<T>(of_.dv, batch_, program_.value_head(head_), at.row, at.count,
                    rows_of_tokens(rows, walk::steps_), adds_to(program_.shape.value_heads, head_));
    }

    /// What the chunk behind the first `next` queries reads and writes on the walk forth; of keys
    /// too, where queries stand with some.
    lines_ahead look_forth(index next, bool with_keys) {
        const index key = next + walk::offset_, queries = walk::run_.queries() - next;
        ahead_.clear();
        add_inputs(key, with_keys ? walk::run_.keys() - key : 0, next, queries);
        add_rows(of_.dq, program_.query_head(head_), walk::run_.query_first, next, queries);
        return ahead_.lines(2);  // there is one product for all of them
    }
    /// The same of the chunk before key p on the walk back.
    lines_ahead look_back(index p, bool with_queries) {
        const index key = std::max<index>(0, p - chunk_length);
        const index query = std::max<index>(0, key - walk::offset_);
        const index last = std::min(walk::run_.queries(), p - walk::offset_);
        ahead_.clear();
        add_inputs(key, p - key, query, with_queries ? last - query : 0);
        add_rows(of_.dv, program_.value_head(head_), walk::run_.key_first, key, p - key);
        add_rows(of_.dk, program_.key_head(head_), walk::run_.key_first, key, p - key);
        return ahead_.lines(1);
    }

    const linear_gradients<T>& of_;
    written_rows<T> d_features_, d_values_;

  private:
    using side = typename row_turn<T>::side;
    using way = typename row_turn<T>::way;

    /// Rows first … of a run that begins with row `begin` of x: those of a chunk at most.
    template <class Number>
    void add_rows(const tensor_view<Number, 4>& x, index head, index begin, index first,
                  index count) {
        ahead_.add(x, batch_, head, (begin + first) / walk::steps_,
                   std::min(chunk_length, count) / walk::steps_);
    }
    void add_inputs(index key, index keys, index query, index queries) {
        const index of_keys = walk::run_.key_first, of_queries = walk::run_.query_first;
        add_rows(program_.k, program_.key_head(head_), of_keys, key, keys);
        add_rows(program_.v, program_.value_head(head_), of_keys, key, keys);
        add_rows(program_.q, program_.query_head(head_), of_queries, query, queries);
        add_rows(of_.d_o, head_, of_queries, query, queries);
        if (program_.denominator.divides) add_rows(of_.o, head_, of_queries, query, queries);
    }

    /// Whether another head of o has written to the head of x that this one adds to.
    bool adds_to(index heads, index head) const {
        return head * heads % program_.shape.heads >= heads;
    }

    rows_ahead ahead_;
    written_rows<T> d_inputs_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
