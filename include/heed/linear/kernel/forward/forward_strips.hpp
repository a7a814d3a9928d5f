#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/forward/forward_head.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Strips of columns of v and o: by the delta rule too no column depends on another, so where heads
/// are fewer than threads, each strip is a call of its own, of the same q and k. What the strips
/// share is done by each.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
class column_strips {
  public:
    /// Strips for `threads` threads that have `tasks` tasks otherwise. `own` must outlive it.
    column_strips(const linear_program<T>& program, index threads, index tasks, arena& own)
        : program_(program), width_(padded<T>(program.shape.value_dim)) {
        if (!program.updates() || threads <= tasks || tasks == 0) return;
        const index wanted = (threads + tasks - 1) / tasks, vectors = width_ / vec<T>::size;
        width_ = (vectors + wanted - 1) / wanted * vec<T>::size;
        count_ = (vectors * vec<T>::size + width_ - 1) / width_;
        const kept_heads<T>& kept = program.state;
        if (count_ == 1 || kept.numbers == nullptr) return;
        next_ = take_heads(own, kept.older_numbers != nullptr);
    }

    index count() const { return count_; }

    linear_program<T> program_of(index strip) const {
        linear_program<T> part = program_;
        part.v = columns_of(program_.v, strip);
        if (program_.updates_channels()) part.written = columns_of(program_.written, strip);
        part.shape.value_dim = part.v.extents[3];
        return part;
    }
    linear_outputs<T> outputs_of(const linear_outputs<T>& to, index strip) const {
        return {columns_of(to.o, strip), to.z};
    }

    struct opened {
        head_sums<T> sums, older;  ///< older.progress: null where it is not kept
    };
    /// The state of a head: itself, or in scratch memory a copy of the strip's columns.
    opened open(index strip, index which, arena& scratch) const {
        const kept_heads<T>& kept = program_.state;
        opened result{at(kept.numbers, kept.progress, which), {}};
        if (kept.older_numbers != nullptr)
            result.older = at(kept.older_numbers, kept.older_progress, which);
        if (count_ == 1) return result;
        result.sums = copy_strip(result.sums, strip, scratch);
        if (result.older.progress != nullptr)
            result.older = copy_strip(result.older, strip, scratch);
        return result;
    }
    /// What open gave is what will be kept: once all strips are closed, since until then others may
    /// read what was before.
    void close(index strip, index which, const head_sums<T>& sums,
               const head_sums<T>& older) const {
        if (count_ == 1) return;
        put_strip(sums, strip, at(next_.numbers, next_.progress, which));
        if (older.progress != nullptr)
            put_strip(older, strip, at(next_.older_numbers, next_.older_progress, which));
    }
    void finish() const {
        if (next_.numbers == nullptr) return;
        const kept_heads<T>& kept = program_.state;
        keep(next_.numbers, next_.progress, kept.numbers, kept.progress);
        if (kept.older_numbers != nullptr)
            keep(next_.older_numbers, next_.older_progress, kept.older_numbers,
                 kept.older_progress);
    }

  private:
    index first(index strip) const { return strip * width_; }
    index columns(index strip) const {
        return std::min(width_, program_.shape.value_dim - first(strip));
    }
    template <class Number>
    tensor_view<Number, 4> columns_of(tensor_view<Number, 4> x, index strip) const {
        if (count_ == 1) return x;
        x.data += first(strip) * x.strides[3];
        x.extents[3] = columns(strip);
        return x;
    }
    head_layout<T> strip_layout(index strip) const {
        return head_layout<T>::of(program_.map->feature_count, columns(strip));
    }
    head_sums<T> at(T* numbers, head_progress* progress, index which) const {
        const head_layout<T> layout = program_.layout();
        return layout.at(numbers + which * layout.size(), progress + which);
    }
    kept_heads<T> take_heads(arena& own, bool older) const {
        const index heads = program_.shape.batch * program_.shape.state_heads();
        const index size = heads * program_.layout().size();
        kept_heads<T> taken{own.take<T>(size), own.take<head_progress>(heads), nullptr, nullptr};
        if (older) {
            taken.older_numbers = own.take<T>(size);
            taken.older_progress = own.take<head_progress>(heads);
        }
        return taken;
    }

    void keep(T* numbers, head_progress* progress, T* to_numbers, head_progress* to) const {
        const index heads = program_.shape.batch * program_.shape.state_heads();
        std::copy_n(numbers, static_cast<std::size_t>(heads * program_.layout().size()),
                    to_numbers);
        std::copy_n(progress, static_cast<std::size_t>(heads), to);
        for (index which = 0; which < heads; ++which) {
            const head_sums<T> head = at(to_numbers, to, which);
            head.progress->finite = all_finite<T>(head.values, head.progress->keys,
                                                  head.values.stride);  // the first strip's alone
        }
    }

    head_sums<T> copy_strip(const head_sums<T>& from, index strip, arena& scratch) const {
        const head_sums<T> to = strip_layout(strip).take(scratch);
        copy_columns(from, first(strip), to, 0, padded<T>(columns(strip)));
        copy_shared(from, to);
        return to;
    }
    /// The first strip puts what all have too.
    void put_strip(const head_sums<T>& from, index strip, const head_sums<T>& to) const {
        copy_columns(from, 0, to, first(strip), padded<T>(columns(strip)));
        if (strip == 0) copy_shared(from, to);
    }
    void copy_columns(const head_sums<T>& from, index from_column, const head_sums<T>& to,
                      index to_column, index count) const {
        const auto copy = [&](const written_rows<T>& a, const written_rows<T>& b, index rows) {
            for (index r = 0; r < rows; ++r)
                std::copy_n(a[r] + from_column, static_cast<std::size_t>(count), b[r] + to_column);
        };
        copy(from.s.sum, to.s.sum, program_.map->feature_count);
        copy(from.s.lost, to.s.lost, program_.map->feature_count);
        copy(from.values, to.values, chunk_length);
    }
    /// All that has no columns lies behind the values, in one piece.
    void copy_shared(const head_sums<T>& from, const head_sums<T>& to) const {
        const head_layout<T> layout = program_.layout();
        const index in_columns = (2 * layout.features + chunk_length) * layout.columns;
        std::copy_n(from.total, static_cast<std::size_t>(layout.size() - in_columns), to.total);
        *to.progress = *from.progress;
    }

    const linear_program<T>& program_;
    index width_, count_ = 1;
    kept_heads<T> next_{};
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
