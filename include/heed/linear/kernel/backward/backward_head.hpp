#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/linear/kernel/backward/backward_decays.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/call/backward_results.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Linear attention backward. With dN_i = d_o_i/z_i and dz_i = −(d_o_i·o_i)/z_i,
///
///     dφ(q_i) = Σ_{j≤i} (dN_i·v_j) φ(k_j) + dz_i Σ_{j≤i} φ(k_j)         a walk forward
///     dφ(k_j) = Σ_{i≥j} (dN_i·v_j) φ(q_i) + Σ_{i≥j} dz_i φ(q_i)         a walk back
///     dv_j    = Σ_{i≥j} (φ(q_i)·φ(k_j)) dN_i                            the same
///
/// each of which is forward's sum with other rows in the places of q, k and v. The walk back goes
/// over the rows from the last to the first; its two sums are one matrix G = Σ φ(q_i) dN_iᵀ, read
/// as it is and transposed. No state is kept from one walk to the other, and memory does not grow
/// with the sequence but where features are divided one by one, or decays are learned: decays
/// change the same sums as forward's, backward_decays.hpp.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Backward of one head of o at a time, in scratch memory of its own.
template <class T>
class backward_head : public backward_results<T> {
    using results = backward_results<T>;
    using results::batch_;
    using results::begin;
    using results::begin_back;
    using results::by_feature_;
    using results::by_value_;
    using results::columns_;
    using results::copy_rows_of;
    using results::d_features_;
    using results::d_sums_;
    using results::d_values_;
    using results::decays_;
    using results::divided_;
    using results::end_back;
    using results::ends_;
    using results::features_;
    using results::finite_queries_;
    using results::fold_total;
    using results::for_chunks;
    using results::for_chunks_back;
    using results::for_keys;
    using results::for_keys_back;
    using results::key_tokens;
    using results::keys_;
    using results::load_keys;
    using results::load_queries;
    using results::loaded_;
    using results::offset_;
    using results::outputs_;
    using results::outputs_transposed_;
    using results::p_;
    using results::program_;
    using results::put_d_keys;
    using results::put_d_queries;
    using results::put_d_values;
    using results::rows_;
    using results::run_;
    using results::scratch_;
    using results::take_queries;
    using results::turned_keys_;
    using results::value_dim_;
    using results::values_;
    using results::width_;

  public:
    backward_head(const linear_program<T>& program, const linear_gradients<T>& of,
                  backward_ways ways, arena& scratch)
        : backward_results<T>(program, of, scratch),
          ways_(ways),
          turned_sum_{scratch.take<T>(columns_ * width_), width_} {}

    /// A run of a head of o.
    void run(index batch, index head, index number) {
        if (!program_.causal) return bidirectional(batch, head, number);
        this->for_each_piece(batch, head, number, [&] { causal(); });
    }

    /// Whether the walk back, dk and dv, needs nothing of the walk forth, dq: the references that
    /// keys have raised, the sums that features were divided by, or what decays' gradient is of.
    static bool are_apart(const linear_program<T>& program, const linear_gradients<T>& of) {
        return !program.map->keeps_reference && !program.map->divides_features &&
               of.d_log_decays.data == nullptr;
    }

  private:
    using side = typename row_turn<T>::side;
    using way = typename row_turn<T>::way;

    /// A run in which every query sees every key.
    void bidirectional(index batch, index head, index number) {
        const arena::scope mark(scratch_);
        begin(batch, head, program_.run(batch, number), program_.runs[number].offset());
        if (ways_.forth) {
            for_keys([](index, index) {});
            for_chunks(0, run_.queries(),
                       [&](index i, index count) { d_queries_of_all(i, count); });
        }
        if (!ways_.back) return;
        begin_back();
        fold_queries_from(0);
        for_keys_back([&](index p, index count) {
            load_keys(p, count);
            d_keys(p, count, 0);
        });
    }
    /// A run that has begun, in which queries see the keys up to them.
    void causal() {
        if (ways_.forth) go_forth();
        if (ways_.back) go_back();
    }
    void go_forth() {
        this->put_queries_before();
        for_keys([&](index p, index count) {
            const auto [first, queries] = this->queries_with(p, count);
            if (queries == 0) return;
            const index skipped = first + offset_ - p;
            load_queries(first, queries);
            d_queries(first, queries, skipped, {skipped, count}, true);
        });
        decays_.load_none();
        for_chunks(this->behind(), run_.queries(),
                   [&](index i, index count) { d_queries_of_all(i, count); });
    }
    void go_back() {
        begin_back();
        if (ends_.has_last() && decays_.learns()) decays_.set_behind(state_by_gradient());
        decays_.load_none();
        fold_queries_from(this->behind());
        for_keys_back([&](index p, index count) {
            load_keys(p, count);
            const index queries = this->take_queries_with(p, count);
            d_keys(p, count, queries);
            fold_features(queries);
        });
        end_back();
    }
    /// dq of queries that see all keys.
    void d_queries_of_all(index i, index count) {
        load_queries(i, count);
        rows_.repeat_sum(by_feature_, count);
        d_queries(i, count, 0, {}, false);
    }
    /// What queries from `first` on, which see all keys, add to G.
    void fold_queries_from(index first) {
        for_chunks_back(first, run_.queries(), [&](index i, index count) {
            load_queries(i, count);
            take_queries(count);
            fold_features(count);
        });
    }
    /// ⟨S, G⟩
    double state_by_gradient() const {
        transpose_rows<T>(by_feature_.s.sum, features_, value_dim_, turned_sum_);
        double sum = 0;
        for (index c = 0; c < value_dim_; ++c)
            sum += static_cast<double>(dot<T>(by_value_.s.sum[c], turned_sum_[c], width_));
        return sum;
    }

    /// dq of loaded queries; see forward_head::query_rows for the arguments.
    void d_queries(index i, index count, index prefix, chunk_sight sight, bool sees_chunk) {
        chunk_operands<T> of{outputs_.rows(), by_value_.s.sum, value_dim_};
        if (sees_chunk) {
            weigh_chunk<T>(of.a, count, value_dim_, by_value_.keys, sight, p_);
            of.p = p_;
            of.c = turned_keys_;
            of.sight = sight;
            of.finite = all_finite<T>(turned_keys_, sight.keys, width_);
        }
        if (decays_.any()) {
            if (sees_chunk) decays_.weigh(sight, count, p_);
            decays_.scale(sight.first, count, value_dim_, outputs_.rows());
        }
        lines_ahead ahead = this->look_forth(i + count, sees_chunk);
        of.ahead = &ahead;
        multiply_chunk<T>(of, {d_features_, nullptr}, count, 0, width_);
        if (program_.map->divides_features) divide_back(i, count, prefix);
        put_d_queries(i, count, prefix);
    }
    /// Where features are y = x/Z, a sum Z each: dx = dy/Z and dZ = −y·dx, which the walk back adds
    /// to what earlier keys get.
    void divide_back(index i, index count, index prefix) {
        rows_.divide_queries(prefix, count);
        copy_rows_of(rows_.queries(), 0, count, divided_, i);
        const vec<T> zero(T(0));
        for (index r = 0; r < count; ++r) {
            for (index f = 0; f < width_; f += vec<T>::size) {
                const vec<T> sum = vec<T>::load(rows_.prefixes()[prefix + r] + f);
                const vec<T> dy = vec<T>::load(d_features_[r] + f);
                const vec<T> dx = select(sum == zero, zero, dy / sum);
                (-(vec<T>::load(rows_.queries()[r] + f) * dx)).store(d_sums_[i + r] + f);
                dx.store(d_features_[r] + f);
            }
        }
    }
    /// Whether queries hand gradients to the sums of keys, and what loaded query r does.
    bool has_sums() const { return program_.denominator.divides || program_.map->divides_features; }
    vec<T> add_d_sum(index r, index f, vec<T> sum) const {
        if (program_.map->divides_features) return sum + vec<T>::load(d_sums_[loaded_ + r] + f);
        return fma(vec<T>(outputs_.dz()[r]), vec<T>::load(rows_.queries()[r] + f), sum);
    }

    /// Queries in the places of keys become part of G.
    void fold_features(index count) {
        if (decays_.any())
            return decays_.fold(by_feature_.s, features_, by_feature_.keys,
                                reversed(outputs_.rows(), count), count, columns_);
        if (count == 0) return;
        add_chunk<T>(by_feature_.s, features_, by_feature_.keys, reversed(outputs_.rows(), count),
                     count, 0, columns_);
        if (!has_sums()) return;
        for (index f = 0; f < width_; f += vec<T>::size) {
            vec<T> sum(T(0));
            for (index r = count; r-- > 0;) sum = add_d_sum(r, f, sum);
            sum.store(by_feature_.running + f);
        }
        fold_total(by_feature_);
    }

    /// dk and dv of loaded keys, of which the last `queries` stand with loaded queries.
    void d_keys(index p, index count, index queries) {
        const chunk_sight sight{0, queries};
        const auto a = reversed(turned_keys_, count);
        const auto v = reversed(contiguous_rows<T>(values_), count);
        chunk_operands<T> of_values{a, by_feature_.s.sum, features_};
        chunk_operands<T> of_keys{v, turned_sum_, value_dim_};
        if (queries > 0) {
            weigh_chunk<T>(a, count, features_, by_feature_.keys, sight, p_);
            of_values.p = p_;
            of_values.c = reversed(outputs_.rows(), queries);
            of_values.sight = sight;
            of_values.finite = outputs_.finite();
        }
        if (decays_.any()) {
            if (queries > 0) decays_.weigh(sight, count, p_);
            copy_rows_of(turned_keys_, 0, count, d_features_, 0);  // which are not known yet
            decays_.scale(0, count, features_, reversed(d_features_, count));
            of_values.a = reversed(contiguous_rows<T>(d_features_), count);
        }
        lines_ahead ahead = this->look_back(p, queries > 0);
        of_values.ahead = of_keys.ahead = &ahead;
        multiply_chunk<T>(of_values, {reversed(d_values_, count), nullptr}, count, 0, columns_);
        put_d_values(p, count);

        transpose_rows<T>(by_feature_.s.sum, features_, columns_, turned_sum_);
        if (queries > 0) {
            weigh_chunk<T>(v, count, value_dim_, outputs_transposed_, sight, p_);
            of_keys.p = p_;
            of_keys.c = reversed(rows_.turned_queries(), queries);
            of_keys.sight = sight;
            of_keys.finite = finite_queries_;
        }
        if (decays_.any()) {
            if (queries > 0) decays_.weigh(sight, count, p_);
            decays_.scale(0, count, value_dim_, reversed(values_, count));
        }
        multiply_chunk<T>(of_keys, {reversed(d_features_, count), nullptr}, count, 0, width_);
        if (program_.turns_features())
            program_.turn->turn(side::key, way::back, d_features_, batch_,
                                key_tokens(p, count).position, count);
        if (has_sums()) add_later_denominators(count, queries);
        decays_.take_keys(p, count, keys_, d_features_, turned_sum_);
        put_d_keys(p, count);
    }
    /// dφ(k_j) += Σ_{i≥j} dz_i φ(q_i)
    void add_later_denominators(index count, index queries) {
        for (index f = 0; f < width_; f += vec<T>::size) {
            const vec<T> later = vec<T>::load(by_feature_.total + f);
            vec<T> sum(T(0));
            for (index back = 0; back < count; ++back) {
                if (back < queries) sum = add_d_sum(queries - 1 - back, f, sum);
                T* at = d_features_[count - 1 - back] + f;
                (vec<T>::load(at) + (later + sum)).store(at);
            }
        }
    }

    backward_ways ways_;
    written_rows<T> turned_sum_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
