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

/// [batch, head, sequence, dim] of q, k and v, or the shape_error that says why not; beside a decay
/// that has numbers for some heads.
template <class T>
linear_shape linear_shape_of(const tensor_view<const T, 4>& q, const tensor_view<const T, 4>& k,
                             const tensor_view<const T, 4>& v, index decay_heads = 1) {
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
    index most = *std::max_element(heads.begin(), heads.end());
    if (decay_heads > 1) most = std::max(most, decay_heads);
    const bool divide = std::all_of(heads.begin(), heads.end(), [&](index count) {
        return count == 0 ? most == 0 : most % count == 0;
    });
    require_shape(decay_heads == 1 || (divide && decay_heads > 0 && most % decay_heads == 0),
                  "q, k, v and the decay have ", heads[0], ", ", heads[1], ", ", heads[2], " and ",
                  decay_heads, " heads, but the most of them must be a multiple of each");
    require_shape(divide, "q, k and v have ", heads[0], ", ", heads[1], " and ", heads[2],
                  " heads, but the most of them must be a multiple of each");
    require_shape(k.extents[2] < (index(1) << 31), "k has ", k.extents[2],
                  " keys, but there may be 2^31 - 1 at most");
    return {.batch = batch,
            .heads = most,
            .query_heads = heads[0],
            .key_heads = heads[1],
            .value_heads = heads[2],
            .decay_heads = decay_heads,
            .queries = q.extents[2],
            .keys = k.extents[2],
            .dim = dim,
            .value_dim = v.extents[3]};
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
