#pragma once

#include <cstddef>

#include <heed/attention/caches/detail/channel_factors.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// What lies where in a page: key panels, dimension by dimension, a key a lane, as the kernels read
/// them; then padded rows of values; then, of integers, a scale a key of either, and if asked for a
/// factor a channel of keys for each stretch of them.
///
///     keys     [maps][key_block / panel_width][dim][panel_width]
///     values   [key_block][padded value_dim]
///     scales   [maps][key_block], [key_block]                      float
///     factors  [maps][stretches][dim]                              float
///
/// Where values are the first numbers of the keys, they are stored as values alone, panels hold
/// what is left of the keys, and whole panels are made of both when a page is found, unless keys
/// are read as rows.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class Storage>
class page_places {
  public:
    using scalar = computed_scalar<Storage>;
    static constexpr index keys_a_page = key_block<scalar>;
    static constexpr index width = panel_width<scalar>;
    static constexpr bool has_scales = stored_as<Storage>::has_scales;

    page_places(index dim, index value_dim, index maps, bool values_in_keys, bool has_factors)
        : dim_(dim),
          value_dim_(value_dim),
          maps_(maps),
          shared_(values_in_keys ? value_dim : 0),
          panel_dim_(dim - shared_),
          has_factors_(has_scales && has_factors) {}

    std::size_t bytes() const {
        const index scales = (has_scales ? (maps_ + 1) * keys_a_page : 0) +
                             (has_factors_ ? maps_ * stretches_a_page * panel_dim_ : 0);
        return aligned(map_size() * maps_) + aligned(keys_a_page * stride()) +
               static_cast<std::size_t>(scales) * sizeof(float);
    }

    /// Whether each channel of keys has a factor.
    bool has_factors() const { return has_factors_; }

    index dim() const { return dim_; }
    index value_dim() const { return value_dim_; }
    index maps() const { return maps_; }
    /// How far rows of values are apart.
    index stride() const { return padded<scalar>(value_dim_); }

  protected:
    static std::size_t aligned(index numbers) {
        return static_cast<std::size_t>(round_up(numbers * static_cast<index>(sizeof(Storage)),
                                                 static_cast<index>(arena::alignment)));
    }
    index map_size() const { return keys_a_page * panel_dim_; }
    Storage* keys(std::byte* page, index map) const {
        return reinterpret_cast<Storage*>(page) + map * map_size();
    }
    Storage* values(std::byte* page) const {
        return reinterpret_cast<Storage*>(page + aligned(map_size() * maps_));
    }
    float* key_scales(std::byte* page, index map) const {
        return reinterpret_cast<float*>(page + aligned(map_size() * maps_) +
                                        aligned(keys_a_page * stride())) +
               map * keys_a_page;
    }
    float* value_scales(std::byte* page) const { return key_scales(page, maps_); }
    /// Of the stretch that a key is in.
    float* key_factors(std::byte* page, index map, index key) const {
        return value_scales(page) + keys_a_page +
               (map * stretches_a_page + stretch_of(key)) * panel_dim_;
    }
    float factor(std::byte* page, index map, index key, index channel) const {
        return has_factors_ ? key_factors(page, map, key)[channel] : 1.0F;
    }

    index dim_, value_dim_, maps_;
    index shared_;     // numbers of a key that are its value
    index panel_dim_;  // and the others
    bool has_factors_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
