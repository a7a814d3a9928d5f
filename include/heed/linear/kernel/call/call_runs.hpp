#pragma once

#include <concepts>
#include <type_traits>

#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/linear/kernel/call/call_parts.hpp>
#include <heed/linear/kernel/call/roles.hpp>
#include <heed/linear/kernel/rules/program.hpp>
#include <heed/linear/part.hpp>

/// \file
/// The sequences of a call of linear attention: its documents, and how long each is.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The parts of a call by role, and its shape.
template <class... Parts>
class linear_call_runs : public linear_call_parts<Parts...> {
    using given = linear_call_parts<Parts...>;

  public:
    linear_shape shape;

  protected:
    explicit linear_call_runs(const linear_shape& of, const Parts&... parts)
        : given(parts...), shape(of) {}

    /// Keys of a sequence that are no padding.
    index length_of(index batch) const requires(given::has_lengths) {
        index length = shape.keys;
        this->for_each_part([&](const auto& part) {
            if constexpr (is_key_lengths<std::remove_cvref_t<decltype(part)>>)
                length = part.padded_from(batch);
        });
        return length;
    }

    /// f(run) of every document that has queries.
    template <class F>
    void for_each_run(const F& f) const {
        if constexpr (given::has_documents) {
            this->with([&](const auto&... parts) {
                const auto one = [&](const auto& mask) {
                    if constexpr (std::same_as<std::remove_cvref_t<decltype(mask)>,
                                               cumulative_lengths_mask>) {
                        const attention_shape of = as_attention(shape);
                        const auto sees = [&](index i) { return mask.interval({.query = i}, of); };
                        for (index i = 0; i < shape.queries;) {
                            const key_interval keys = sees(i);
                            index last = i + 1;
                            while (last < shape.queries && sees(last).first == keys.first &&
                                   sees(last).last == keys.last)
                                ++last;
                            f(sequence_run{i, last, keys.first, keys.last});
                            i = last;
                        }
                    }
                };
                (one(parts), ...);
            });
        } else {
            f(sequence_run{0, shape.queries, 0, shape.keys});
        }
    }
    /// The same as the kernel takes them.
    template <class T>
    void set_runs(linear_program<T>& to, arena& scratch) const {
        index count = 0;
        for_each_run([&](const sequence_run&) { ++count; });
        if (count == 0) {  // no queries, in no document
            sequence_run* none = scratch.take<sequence_run>(1);
            *none = {};
            to.runs = none;
            to.run_count = 1;
            return;
        }
        sequence_run* runs = scratch.take<sequence_run>(count);
        to.runs = runs;
        to.run_count = count;
        for_each_run([&](const sequence_run& run) { *runs++ = run; });
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
