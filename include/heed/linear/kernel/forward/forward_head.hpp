#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/channels/forward_channels.hpp>
#include <heed/linear/kernel/chunk/chunk_decays.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/chunk_update.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/chunk/references.hpp>
#include <heed/linear/kernel/chunk/rows_ahead.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Linear attention forward: o_i = Σ_j (φ(q_i)·φ(k_j)) v_j / Σ_j φ(q_i)·φ(k_j), or with decays and
/// the delta rule.
///
/// A task is one head of the state, of one sequence or document. Causal, it walks over the keys,
/// chunk by chunk of a grid that begins with the sequence:
///
///     1. φ of the new keys, turned, transposed; their values, or by the delta rule what is written
///     2. for each head of o that reads this state: φ of the queries, z, P, [φ(q) | P]·[S ; V]
///     3. at a line of the grid, S and Z take the chunk
///
/// A row is one chain over S and the chunk's keys up to its own, whatever came in one call: so its
/// bits do not depend on how the sequence was cut. Otherwise all keys come first, then all queries.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Where forward writes.
template <class T>
struct linear_outputs {
    tensor_view<T, 4> o;
    T* z = nullptr;  ///< [batch, head, query], for backward; null: not wanted
};

/// Forward of one head of the state at a time, in scratch memory of its own.
template <class T>
class forward_head {
  public:
    forward_head(const linear_program<T>& program, const linear_outputs<T>& to, arena& scratch)
        : program_(program),
          to_(to),
          columns_(padded<T>(program.shape.value_dim)),
          rows_(program, scratch),
          channels_(program, scratch),
          p_(scratch.take<T>((chunk_length + spare_rows) * weight_stride<T>)),
          solved_keys_(program.updates()
                           ? chunk_rows<T>::take(scratch, padded<T>(program.map->feature_count))
                           : written_rows<T>{}),
          values_(scratch.take<T>(chunk_length * program.shape.value_dim)),
          factor_(scratch.take<T>(padded<T>(program.map->feature_count))),
          out_{scratch.take<T>(chunk_length * columns_), columns_} {}

    /// A run of a causal call, `base` tokens of which were seen before; `head` has them.
    void causal(index batch, index state_head, index number, const head_sums<T>& head, index base,
                const head_sums<T>* older) {
        const sequence_run run = program_.run(batch, number);
        const index offset = program_.runs[number].offset();
        const place at{batch, state_head, run, head};
        for (index i = 0; i < std::min(run.queries(), -offset); i += chunk_length)
            write_zeros(at, i, std::min(chunk_length, std::min(run.queries(), -offset) - i));

        for (index p = 0; p < run.keys();) {
            const index line = program_.line_tokens(), to_line = line - (base + p) % line;
            const index count = take_keys(at, p, std::min(run.keys() - p, to_line), older);
            const index first = std::max<index>(0, p - offset);
            const index last = std::min(run.queries(), p + count - offset);
            if (first < last) {
                const index skipped = first + offset - p, steps = program_.steps();
                query_rows(
                    at, first, last - first, first + offset, skipped,
                    {head.progress->keys + skipped * steps, head.progress->keys + count * steps},
                    true);
            }
            head.progress->keys += count * program_.steps();
            p += count;
            if ((base + p) % line == 0) fold(head, older);
        }
        // Behind the last key rows see all there is.
        if (channels_.any()) channels_.find_last(head);
        for (index i = std::max<index>(0, run.keys() - offset); i < run.queries();) {
            const index count = std::min(program_.line_tokens(), run.queries() - i);
            rows_.repeat_sum(head, count);
            query_rows(at, i, count, i + offset, 0, {head.progress->keys, head.progress->keys},
                       head.progress->keys > 0);
            i += count;
        }
    }

    /// A run in which every query sees every key.
    void bidirectional(index batch, index state_head, index number, const head_sums<T>& head) {
        const sequence_run run = program_.run(batch, number);
        const index offset = program_.runs[number].offset();
        const place at{batch, state_head, run, head};
        for (index p = 0; p < run.keys();) {
            const index count = take_keys(at, p, std::min(run.keys() - p, chunk_length), nullptr);
            head.progress->keys += count;
            p += count;
            fold(head, nullptr);
        }
        for (index i = 0; i < run.queries(); i += chunk_length) {
            const index count = std::min(chunk_length, run.queries() - i);
            rows_.repeat_sum(head, count);
            query_rows(at, i, count, i + offset, 0, {}, false);
        }
    }

  private:
    struct place {
        index batch, state_head;
        sequence_run run;
        const head_sums<T>& head;
    };

    index features() const { return program_.map->feature_count; }

    void fold(const head_sums<T>& head, const head_sums<T>* older) {
        if (older != nullptr && head.progress->keys > 0) {
            // What a head holds is one piece of memory that begins with S.
            std::copy_n(head.s.sum.data, static_cast<std::size_t>(program_.layout().size()),
                        older->s.sum.data);
            *older->progress = *head.progress;
        }
        if (channels_.any())
            fold_channels(head, features(), columns_);
        else if (program_.decays())
            fold_decayed_chunk(head, features(), columns_);
        else
            fold_chunk(head, features(), columns_);
    }

    /// Keys p … p + count − 1 of the run and their values into the chunk, behind those that are
    /// there. How many were taken: fewer where a later one rises above the references, or begins
    /// anew.
    index take_keys(const place& at, index p, index count, const head_sums<T>* older) {
        const head_sums<T>& head = at.head;
        const index first_head = at.state_head * program_.heads_a_state();
        if (program_.decays()) count = take_decays(at, at.run.key_first + p, count, older);
        if (channels_.any())
            count = channels_.take(head, at.batch, first_head, at.run.key_first + p, count,
                                   [&] { fold(head, older); });
        chunk_tokens tokens{at.batch, at.run.key_first + p, p, count};
        index tail = head.progress->keys;
        written_rows<T> rows{head.key_rows[tail], head.key_rows.stride};
        rows_.map_keys(first_head, tokens, rows);
        if (program_.map->keeps_reference) {
            bool& begun = head.progress->begun;
            count = relate_keys(rows, count, features(), head.reference, begun,
                                program_.feature_turn());
            if (count == 0) {
                fold(head, older);
                raise_references(rows[0], features(), head.reference, factor_,
                                 program_.feature_turn());
                rescale_head(head, features(), factor_);
                head.progress->cuts = true;
                tail = 0;
                rows = head.key_rows;
                rows_.map_keys(first_head, tokens, rows);
                count = relate_keys(rows, tokens.count, features(), head.reference, begun,
                                    program_.feature_turn());
            }
            tokens.count = count;
        }
        const index steps = program_.steps(), columns = count * steps;  // of the chunk
        const written_rows<T> turned =
            rows_.step_keys(first_head, tokens, rows_.turn_keys(rows, tokens));
        if (program_.updates()) rows_.read_keys(first_head, tokens, turned, solved_keys_);
        if (channels_.any()) channels_.relate_keys(turned, tail, columns);
        transpose_into_chunk<T>(turned, columns, features(), tail, head.keys);
        if (channels_.any()) channels_.keep(head, columns);
        const auto v = step_rows_of(program_.v, at.batch, program_.value_head(first_head),
                                    tokens.row, count, steps, steps - 1, values_);
        bool finite = copy_padded<T>(v, columns, program_.shape.value_dim,
                                     {head.values[tail], head.values.stride});
        if (program_.updates()) {
            update_values(head, tokens, first_head);
            finite = all_finite<T>({head.values[tail], head.values.stride}, columns, columns_);
        }
        head.progress->finite = head.progress->finite && finite;
        if (!program_.decays() && !channels_.any() && !program_.updates())
            rows_.sum_keys(head, rows, count);
        return count;
    }
    /// What an update writes takes the place of the new keys' values.
    void update_values(const head_sums<T>& head, const chunk_tokens& tokens, index of_head) {
        const index tail = head.progress->keys, count = tokens.count * program_.steps();
        const chunk_sight sight = reading_sight(tail, tail + count, program_.low_rank());
        rows_.write_values(of_head, tokens, {head.values[tail], head.values.stride}, values_);
        chunk_operands<T> of{solved_keys_, channels_.sum(head), features()};
        if (channels_.any()) channels_.relate(solved_keys_, sight, count);
        weigh_chunk<T>(solved_keys_, count, features(), head.keys, sight, p_);
        of.p = p_;
        if (channels_.any()) channels_.leave_unit(solved_keys_, sight, count);
        if (program_.decays()) decay(head, sight, count, solved_keys_, of);
        T beta[chunk_length];
        program_.read_deltas(tokens.batch, of_head, tokens.row, tokens.count, beta);
        solve_chunk<T>({of.a, of.sum, of.depth, p_, beta, head.values, tail}, count, columns_);
    }
    /// The sums of log decays of up to `count` keys from `row` on; of how many.
    index take_decays(const place& at, index row, index count, const head_sums<T>* older) {
        const head_sums<T>& head = at.head;
        head_progress& progress = *head.progress;
        const index steps = program_.steps();
        T logs[chunk_length];
        program_.read_log_decays(at.batch, at.state_head * program_.heads_a_state(), row, count,
                                 logs);
        const auto add = [&] {
            return add_decays<T>(logs, count * steps, progress.keys, head.decays, progress.anew) /
                   steps;
        };
        const index known = add();
        if (known > 0) return known;
        fold(head, older);
        progress.cuts = true;
        return add();
    }

    /// Queries `first` … of the run, in every head that reads this state; `prefix` is the row of
    /// the keys' sums that the first one sees.
    void query_rows(const place& at, index first, index count, index position, index prefix,
                    chunk_sight sight, bool sees_chunk) {
        const index heads = program_.heads_a_state();
        for (index h = at.state_head * heads; h < (at.state_head + 1) * heads; ++h) {
            const index query = at.run.query_first + first;
            rows_.map_queries(h, {at.batch, query, position, count}, at.head.reference);
            if (program_.map->divides_features) rows_.divide_queries(prefix, count);
            const T* z = nullptr;
            if (program_.denominator.divides) {
                z = rows_.denominators(prefix, count);
                if (to_.z != nullptr)
                    std::copy_n(z, static_cast<std::size_t>(count),
                                to_.z +
                                    (at.batch * program_.shape.heads + h) * program_.shape.queries +
                                    query);
            }
            const index rows = count * program_.steps();
            chunk_operands<T> of{rows_.turned_queries(), channels_.sum_of_queries(at.head),
                                 features()};
            lines_ahead ahead =
                look_ahead(at, h, first + count, sees_chunk ? position + count : at.run.keys());
            of.ahead = &ahead;
            if (channels_.any()) channels_.see_own(h, of.a, sight, rows);
            if (channels_.any()) channels_.relate_queries(rows_.turned_queries(), sight, rows);
            if (sees_chunk) {
                weigh_chunk<T>(of.a, rows, features(), at.head.keys, sight, p_);
                of.p = p_;
                of.c = at.head.values;
                of.sight = sight;
                of.finite = at.head.progress->finite;
            }
            if (channels_.any() && sees_chunk) channels_.weigh_own(sight, rows, p_);
            if (channels_.any()) channels_.leave_unit(rows_.turned_queries(), sight, rows);
            if (program_.decays()) decay(at.head, sight, rows, rows_.turned_queries(), of);
            write(at.batch, h, query, count, of, rows_.factors(h, z, rows));
        }
    }

    /// What the chunk behind this one needs: keys and values from `key` on, unless a head before
    /// has had them fetched, and queries and rows of o from `query` on.
    lines_ahead look_ahead(const place& at, index head, index query, index key) {
        const auto chunk = [](index left) { return std::min(chunk_length, left); };
        ahead_.clear();
        if (head % program_.heads_a_state() == 0) {
            const index first = at.run.key_first + key, count = chunk(at.run.keys() - key);
            ahead_.add(program_.k, at.batch, program_.key_head(head), first, count);
            ahead_.add(program_.v, at.batch, program_.value_head(head), first, count);
        }
        const index first = at.run.query_first + query, count = chunk(at.run.queries() - query);
        ahead_.add(program_.q, at.batch, program_.query_head(head), first, count);
        ahead_.add(to_.o, at.batch, head, first, count);
        return ahead_.lines(1);
    }

    /// What decays do to rows, queries or keys, and to their weights.
    void decay(const head_sums<T>& head, chunk_sight sight, index count, written_rows<T> rows,
               chunk_operands<T>& of) {
        const chunk_decays<T> decays{head.decays, sight.keys};
        if (of.p != nullptr) decays.weigh(sight, count, p_);
        if (head.progress->anew)
            of.depth = 0;
        else
            decays.scale(sight.first, count, features(), rows);
    }

    /// Rows of o, where they lie if their vectors are whole.
    void write(index batch, index head, index query, index count, const chunk_operands<T>& of,
               const T* factor) {
        const tensor_view<T, 4>& o = to_.o;
        const index steps = program_.steps();
        if (o.strides[3] == 1 && o.extents[3] % vec<T>::size == 0 && steps == 1) {
            T* data = o.data + batch * o.strides[0] + head * o.strides[1] + query * o.strides[2];
            multiply_chunk<T>(of, {{data, o.strides[2]}, factor}, count, 0, columns_);
        } else {
            multiply_chunk<T>(of, {out_, factor}, count * steps, 0, columns_);
            write_rows(o, batch, head, query, count, out_[steps - 1], columns_ * steps,
                       [](index) { return T(1); });
        }
    }

    /// Rows that no key stands before.
    void write_zeros(const place& at, index first, index count) {
        const index heads = program_.heads_a_state(), query = at.run.query_first + first;
        std::fill_n(out_.data, static_cast<std::size_t>(count * columns_), T(0));
        for (index h = at.state_head * heads; h < (at.state_head + 1) * heads; ++h) {
            write_rows(to_.o, at.batch, h, query, count, out_.data, columns_,
                       [](index) { return T(1); });
            if (to_.z != nullptr)
                std::fill_n(
                    to_.z + (at.batch * program_.shape.heads + h) * program_.shape.queries + query,
                    static_cast<std::size_t>(count), T(0));
        }
    }

    const linear_program<T>& program_;
    linear_outputs<T> to_;
    index columns_;
    chunk_rows<T> rows_;
    rows_ahead ahead_;
    forward_channels<T> channels_;
    T* p_;
    written_rows<T> solved_keys_;
    T *values_, *factor_;
    written_rows<T> out_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
