#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/padding.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/kernel/products/paired_products.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// One call of attention: its shape, its inputs, and its parts by role; checked before anything
/// else happens.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// [batch, head, sequence, dim] of q, k and v, or the shape_error that says why not.
template <class T>
attention_shape shape_of(const tensor_view<const T, 4>& q, const tensor_view<const T, 4>& k,
                         const tensor_view<const T, 4>& v) {
    check_view("q", q);
    check_view("k", k);
    check_view("v", v);
    const auto& [batch, heads, queries, dim] = q.extents;
    require_shape(dim > 0, "q has shape ", q.extents, ", but its last axis must not be empty");
    require_shape(v.extents[3] > 0, "v has shape ", v.extents,
                  ", but its last axis must not be empty");
    require_shape(k.extents[3] == dim, "q has shape ", q.extents, " and k has shape ", k.extents,
                  ", but their last axes must be the same");
    require_shape(k.extents[0] == batch && v.extents[0] == batch, "q, k and v have shapes ",
                  q.extents, ", ", k.extents, " and ", v.extents,
                  ", but their batches must be the same");
    require_shape(v.extents[1] == k.extents[1] && v.extents[2] == k.extents[2], "k has shape ",
                  k.extents, " and v has shape ", v.extents,
                  ", but they must have the same heads and the same sequence");
    const index kv_heads = k.extents[1];
    const bool divides = kv_heads > 0 ? heads > 0 && heads % kv_heads == 0 : heads == 0;
    const bool divides_if_swapped = k.extents[2] > 0 && queries > 0 && queries % k.extents[2] == 0;
    require_shape(divides || !divides_if_swapped, "q has ", heads, " heads and k has ", kv_heads,
                  ", but those of k must divide those of q; are the axes [batch, sequence, heads, "
                  "dim]? heed takes heads first: heed::split_heads or heed::view by strides");
    require_shape(divides, "q has ", heads, " heads and k has ", kv_heads,
                  ", but those of k must divide those of q");
    require_shape(k.extents[2] < (index(1) << 31), "k has ", k.extents[2],
                  " keys, but there may be 2^31 - 1 at most");
    return {batch, heads, kv_heads, queries, k.extents[2], dim, v.extents[3]};
}

/// `Parts` may be choices: each interface of the program looks into those that it is made of.
template <class T, class... Parts>
class attention_call {
  public:
    attention_shape shape;
    tensor_view<const T, 4> q, k, v;
    const key_blocks<T>* cache = nullptr;  ///< what holds k and v; the two are null then
    /// Where q, k and v come from if they are copies as T; null if they are the caller's.
    const std::array<memory_span, 3>* stored = nullptr;
    /// What multiplies their numbers by pairs, where the machine does; or null.
    const paired_products<T>* pairs = nullptr;

    attention_call(const tensor_view<const T, 4>& queries, const tensor_view<const T, 4>& keys,
                   const tensor_view<const T, 4>& values, const Parts&... parts)
        : shape(shape_of(queries, keys, values)), q(queries), k(keys), v(values), parts_(parts...) {
        check();
    }
    /// Of queries and a cache, which fit this shape.
    attention_call(const attention_shape& of, const tensor_view<const T, 4>& queries,
                   const key_blocks<T>& keys_and_values, const Parts&... parts)
        : shape(of), q(queries), k{}, v{}, cache(&keys_and_values), parts_(parts...) {
        check();
    }

    /// Of tensors of this shape whose numbers are still to become T.
    attention_call(const attention_shape& of, const std::array<memory_span, 3>& tensors,
                   const Parts&... parts)
        : shape(of), q{}, k{}, v{}, stored(&tensors), parts_(parts...) {
        check();
    }

    const auto& parts() const { return parts_; }
    /// f(parts…) with the choices among these roles resolved; other choices are left out.
    template <class... Roles, class F>
    decltype(auto) resolve(const F& f) const {
        return with_roles<Roles...>(parts_, f);
    }
    /// f(part) of every part that is no resource, learned or not; of choices what they hold.
    template <class F>
    void for_each_part(const F& f) const {
        [[maybe_unused]] const auto one = [&]<class P>(const P& part) {
            if constexpr (!resource_part<P>) f(unwrap(part));
        };
        std::apply([&](const auto&... part) { (visit_part(part, one), ...); }, parts_);
    }

    /// see(name, view) for all memory that the call reads: q, k, v, and what parts were given.
    template <class See>
    void see_inputs(const See& see) const {
        if (stored == nullptr) {
            see("q", q);
            see("k", k);
            see("v", v);
        } else {
            see("q", (*stored)[0]);
            see("k", (*stored)[1]);
            see("v", (*stored)[2]);
        }
        for_each_part([&](const auto& part) { part.inputs(see); });
    }

    on_pool threads() const {
        return resolve<role::threads>(
            []<class... Chosen>([[maybe_unused]] const Chosen&... parts) -> on_pool {
                if constexpr (count_of<role::threads, Chosen...> == 1)
                    return the_part<role::threads>(nothing, parts...);
                else
                    return {.pool = nullptr};
            });
    }
    workspace& memory() const {
        return resolve<role::memory>(
            []<class... Chosen>([[maybe_unused]] const Chosen&... parts) -> workspace& {
                if constexpr (count_of<role::memory, Chosen...> == 1)
                    return *the_part<role::memory>(nothing, parts...).memory;
                else
                    return thread_workspace();
            });
    }

    /// Where queries and keys stand; explicit positions are written into `scratch`.
    call_place place(arena& scratch) const {
        return resolve<role::positions>([&]<class... Chosen>(
                                            [[maybe_unused]] const Chosen&... parts) -> call_place {
            if constexpr (count_of<role::positions, Chosen...> == 1)
                return {shape, the_part<role::positions>(nothing, parts...).prepare(scratch, shape),
                        (moves_keys<Chosen> || ...)};
            else
                return {shape, {.query_first = shape.keys - shape.queries}, false};
        });
    }

  private:
    void check() const {
        for_each_part([&](const auto& part) { part.check(shape); });
        std::apply([&](const auto&... part) { check_padding<T>(shape, part...); }, parts_);
    }

    std::tuple<const Parts&...> parts_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
