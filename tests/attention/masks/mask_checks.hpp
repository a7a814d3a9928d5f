#pragma once

#include <algorithm>

#include <heed/attention/part.hpp>

#include "attention/part_rows.hpp"
#include "reference/masks.hpp"
#include "support/catch.hpp"

/// \file
/// What a mask says, lane by lane, as an interval and of tiles, against its definition.

namespace heed_test {

using heed::key_interval;
using heed::visibility;

/// How many (row, key) pairs of the mask's lanes say otherwise than the definition.
template <class T, class Mask>
index wrong_lanes(const Mask& mask, const heed::attention_shape& shape,
                  const reference::mask& seen) {
    index wrong = 0;
    for_each_row(shape, [&](const heed::query_row& row) {
        const auto on_row = mask.template on_row<T>(row);
        for (index first = 0; first < shape.keys; first += heed::vec<T>::size) {
            const auto keys = keys_at<T>(shape, first);
            const heed::vec_mask<T> lanes = on_row(keys);
            for (index l = 0; l < keys.count; ++l) {
                const bool said = (lanes.bits() >> l & 1) != 0;
                if (said != seen(row.batch, row.head, row.query, first + l)) ++wrong;
            }
        }
    });
    return wrong;
}

/// How many keys lie outside a row's interval though it sees them, or, where the mask is an
/// interval, inside though it does not.
template <class Mask>
index wrong_intervals(const Mask& mask, const heed::attention_shape& shape,
                      const reference::mask& seen) {
    index wrong = 0;
    for_each_row(shape, [&](const heed::query_row& row) {
        const key_interval own = mask.interval(row, shape);
        if (own.first < 0 || own.first > own.last || own.last > shape.keys) ++wrong;
        for (index j = 0; j < shape.keys; ++j) {
            const bool inside = own.first <= j && j < own.last;
            const bool sees = seen(row.batch, row.head, row.query, j);
            if ((sees && !inside) || (Mask::is_interval && inside && !sees)) ++wrong;
        }
    });
    return wrong;
}

/// How many random tiles are called all or none though they are not. A tile may always be called
/// mixed, but `told`, if given, counts those that are not.
template <class Mask>
index wrong_tiles(const Mask& mask, const heed::attention_shape& shape, const reference::mask& seen,
                  generator& random, index& told) {
    index wrong = 0;
    for (int round = 0; round < 50; ++round) {
        const index b = random.integer(0, shape.batch - 1);
        const index h = random.integer(0, shape.heads - 1);
        const index first = random.integer(0, shape.queries - 1);
        const index last = std::min(first + random.integer(0, 5), shape.queries - 1);
        const index key = random.integer(0, shape.keys - 1);
        const key_interval keys{key, std::min(key + random.integer(1, 6), shape.keys)};
        const visibility answer =
            mask.tile(row_at(shape, b, h, first), row_at(shape, b, h, last), keys);
        bool any = false, all = true;
        for (index i = first; i <= last; ++i) {
            for (index j = keys.first; j < keys.last; ++j) {
                any = any || seen(b, h, i, j);
                all = all && seen(b, h, i, j);
            }
        }
        if ((answer == visibility::all && !all) || (answer == visibility::none && any)) ++wrong;
        if (answer != visibility::mixed) ++told;
    }
    return wrong;
}

/// Everything a mask says agrees with its definition, in float and double.
template <class Mask>
void check_mask(const Mask& mask, const heed::attention_shape& shape, const reference::mask& seen,
                generator& random) {
    INFO("batch " << shape.batch << ", heads " << shape.heads << ", queries " << shape.queries
                  << ", keys " << shape.keys);
    mask.check(shape);
    if constexpr (requires { mask.template on_row<float>(heed::query_row{}); }) {
        CHECK(wrong_lanes<float>(mask, shape, seen) == 0);
        CHECK(wrong_lanes<double>(mask, shape, seen) == 0);
    }
    if constexpr (requires { mask.interval(heed::query_row{}, shape); })
        CHECK(wrong_intervals(mask, shape, seen) == 0);
    if constexpr (requires { mask.tile(heed::query_row{}, heed::query_row{}, key_interval{}); }) {
        index told = 0;
        CHECK(wrong_tiles(mask, shape, seen, random, told) == 0);
    }
}

}  // namespace heed_test
