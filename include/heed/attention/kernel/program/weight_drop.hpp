#pragma once

#include <algorithm>
#include <cmath>

#include <heed/attention/dropout.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// Dropout as the kernels know it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// weight_drop by a heed::dropout.
template <class T, class Dropout>
class weight_drop_of final : public weight_drop<T> {
  public:
    weight_drop_of(const call_place& place, const Dropout& dropout)
        : place_(place), dropout_(dropout), kept_(static_cast<T>(1 / (1 - dropout.rate()))) {}

    void apply(const query_row& row, index first, index count, T* weights) const override {
        const auto plane = dropout_.plane(row.batch, row.head);
        if (place_.moves_keys) {  // one by one
            for (index j = 0; j < count; ++j)
                weights[j] *= of(plane.keeps(row.position, position(row.batch, first + j)));
            return;
        }
        constexpr index stretch = dropout_plane::stretch;
        alignas(64) T factors[stretch];
        for (index j = 0; j < count;) {
            const index key = first + j, begin = key % stretch;
            const index length = std::min(stretch - begin, count - j);
            plane.write_factors(row.position, key / stretch, kept_, factors);
            for (index l = 0; l < length; ++l) weights[j + l] *= factors[begin + l];
            j += length;
        }
    }

    T factor(const query_row& row, index key) const override {
        return of(
            dropout_.plane(row.batch, row.head).keeps(row.position, position(row.batch, key)));
    }

  private:
    T of(bool keeps) const { return keeps ? kept_ : T(0); }
    index position(index batch, index key) const {
        if (!place_.moves_keys) return key;
        // Behind the last key there is none to ask for.
        const index last = place_.shape.keys - 1;
        return static_cast<index>(std::floor(place_.key(batch, std::min(key, last))));
    }

    const call_place& place_;
    const Dropout& dropout_;
    T kept_;  ///< 1/(1 − rate)
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
