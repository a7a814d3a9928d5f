#pragma once

#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// The factor of a row's products, by the scale.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// row_scale by a scale.
template <class T, class Scale>
class row_scale_of final : public row_scale<T> {
  public:
    row_scale_of(const call_place& place, const Scale& scale) : place_(place), scale_(scale) {}

    void find(const query_tile<T>& tile) const override {
        // Only a scale that counts what a row sees differs from row to row.
        constexpr bool counts = Scale::needs_visible_count;
        const attention_shape own = place_.sequence(tile.batch);
        for (index r = 0; r < tile.count; ++r) {
            const index visible = counts ? tile.visible[r] : 0;
            tile.scale[r] = counts || r == 0
                                ? static_cast<T>(scale_.on_row(tile.rows[r], own, visible))
                                : tile.scale[0];
        }
    }

    double derivative([[maybe_unused]] const query_tile<T>& tile,
                      [[maybe_unused]] index r) const override {
        if constexpr (requires { scale_.derivative(place_.shape, index(0)); })
            return scale_.derivative(place_.sequence(tile.batch), tile.visible[r]);
        else
            return 1;
    }

  private:
    const call_place& place_;
    const Scale& scale_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
