#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Updates that read by other rows than k, on the way back. With r = e⊙k, by which a token reads S,
/// and x = w⊙v, which it writes, backward of the delta rule finds dr and dx; from these
///
///     de = k⊙dr        dk += e⊙dr        dw = v⊙dx        dv = w⊙dx
///
/// Of low rank a token's first step reads by r = −a and is written at b: da = −dr, and db is the
/// gradient of that step's key.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The rows of such an update, of one head of o after the other.
template <class T>
class backward_readers {
  public:
    backward_readers(const linear_program<T>& program, const linear_gradients<T>& of,
                     arena& scratch)
        : program_(program), of_(of) {
        if (!any()) return;
        const index width = padded<T>(program.map->feature_count);
        readers_ = chunk_rows<T>::take(scratch, width);
        d_readers_ = chunk_rows<T>::take(scratch, width);
        gathered_ = scratch.take<T>(chunk_length * program.shape.value_dim);
    }

    bool any() const { return program_.updates_channels() || program_.low_rank(); }
    /// Whether values are written as other rows than they are.
    bool writes() const { return program_.updates_channels(); }

    /// Rows r of loaded keys, whose values become x.
    written_rows<T> load(chunk_rows<T>& rows, index head, const chunk_tokens& at,
                         written_rows<T> keys, written_rows<T> values) const {
        if (!any()) return keys;
        rows.read_keys(head, at, keys, readers_);
        rows.write_values(head, at, values, gathered_);
        return readers_;
    }
    /// Where dr goes.
    written_rows<T> d_readers() const { return d_readers_; }

    /// From dx to dv, and dw.
    void take_values(index head, const chunk_tokens& at, contiguous_rows<T> dx,
                     written_rows<T> dv) const {
        const index value_head = program_.value_head(head), own = program_.update_head(head);
        for (index r = 0; r < at.count; ++r) {
            for (index c = 0; c < program_.shape.value_dim; ++c) {
                if (of_.d_written.data != nullptr)
                    of_.d_written(at.batch, head, at.row + r, c) =
                        program_.v(at.batch, value_head, at.row + r, c) * dx[r][c];
                dv[r][c] = program_.written(at.batch, own, at.row + r, c) * dx[r][c];
            }
        }
    }
    /// From dr to what it adds to dk, and de; or da, and db from dk's other steps.
    void take_keys(index head, const chunk_tokens& at, contiguous_rows<T> keys,
                   written_rows<T> dk) const {
        if (program_.low_rank()) return take_low_rank(head, at, dk);
        const index own = program_.update_head(head);
        for (index r = 0; r < at.count; ++r) {
            for (index c = 0; c < program_.shape.dim; ++c) {
                const T dr = d_readers_[r][c];
                if (of_.d_erased.data != nullptr)
                    of_.d_erased(at.batch, head, at.row + r, c) = keys[r][c] * dr;
                dk[r][c] += program_.erased(at.batch, own, at.row + r, c) * dr;
            }
        }
    }

  private:
    void take_low_rank(index head, const chunk_tokens& at, contiguous_rows<T> dk) const {
        if (of_.d_a.data == nullptr) return;
        for (index r = 0; r < at.count; ++r) {
            for (index c = 0; c < program_.shape.dim; ++c) {
                of_.d_a(at.batch, head, at.row + r, c) = -d_readers_[2 * r][c];
                of_.d_b(at.batch, head, at.row + r, c) = dk[2 * r][c];
            }
        }
    }

    const linear_program<T>& program_;
    const linear_gradients<T>& of_;
    written_rows<T> readers_{}, d_readers_{};
    T* gathered_ = nullptr;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
