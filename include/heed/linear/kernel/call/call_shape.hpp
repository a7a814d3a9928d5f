#pragma once

#include <algorithm>
#include <array>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/part.hpp>

/// \file
/// The shape of a call of linear attention.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How many heads the parts of a call have numbers for.
struct part_heads {
    index decay = 1, update = 1, bonus = 1;
};

/// [batch, head, sequence, dim] of q, k and v, or the shape_error that says why not; beside parts
/// that have numbers for some heads.
template <class T>
linear_shape linear_shape_of(const tensor_view<const T, 4>& q, const tensor_view<const T, 4>& k,
                             const tensor_view<const T, 4>& v, const part_heads& parts = {}) {
    check_view("q", q);
    check_view("k", k);
    check_view("v", v);
    const index dim = q.extents[3], batch = q.extents[0];
    require_shape(dim > 0, "q has shape ", q.extents, ", but its last axis must not be empty");
    require_shape(v.extents[3] > 0, "v has shape ", v.extents,
                  ", but its last axis must not be empty");
    require_shape(k.extents[3] == dim, "q has shape ", q.extents, " and k has shape ", k.extents,
                  ", but their last axes must be the same");
    require_shape(k.extents[0] == batch && v.extents[0] == batch, "q, k and v have shapes ",
                  q.extents, ", ", k.extents, " and ", v.extents,
                  ", but their batches must be the same");
    require_shape(v.extents[2] == k.extents[2], "k has shape ", k.extents, " and v has shape ",
                  v.extents, ", but they must have the same sequence");
    const std::array<index, 3> heads{q.extents[1], k.extents[1], v.extents[1]};
    const index most =
        std::max({heads[0], heads[1], heads[2], parts.decay == 1 ? 0 : parts.decay,
                  parts.update == 1 ? 0 : parts.update, parts.bonus == 1 ? 0 : parts.bonus});
    const bool divide = std::all_of(heads.begin(), heads.end(), [&](index count) {
        return count == 0 ? most == 0 : most % count == 0;
    });
    const auto check_part = [&](const char* name, index count) {
        require_shape(count == 1 || (divide && count > 0 && most % count == 0), "q, k, v and ",
                      name, " have ", heads[0], ", ", heads[1], ", ", heads[2], " and ", count,
                      " heads, but the most of them must be a multiple of each");
    };
    check_part("the decay", parts.decay);
    check_part("the update", parts.update);
    check_part("heed::bonus", parts.bonus);
    require_shape(divide, "q, k and v have ", heads[0], ", ", heads[1], " and ", heads[2],
                  " heads, but the most of them must be a multiple of each");
    require_shape(k.extents[2] < (index(1) << 31), "k has ", k.extents[2],
                  " keys, but there may be 2^31 - 1 at most");
    return {.batch = batch,
            .heads = most,
            .query_heads = heads[0],
            .key_heads = heads[1],
            .value_heads = heads[2],
            .decay_heads = parts.decay,
            .update_heads = parts.update,
            .bonus_heads = parts.bonus,
            .queries = q.extents[2],
            .keys = k.extents[2],
            .dim = dim,
            .value_dim = v.extents[3]};
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
