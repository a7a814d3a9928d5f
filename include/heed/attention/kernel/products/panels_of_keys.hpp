#pragma once

#include <heed/attention/kernel/products/encoding_maps.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// Keys as the product q·kᵀ reads them: a key a lane.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Panels of keys, from one on, of each map.
template <class T>
struct panels_of_keys {
    key_maps<T*> panels;
    index first;  ///< the key whose panel comes first
    index dim;

    /// The panel that begins with a key.
    const T* at(encoding_map map, index key) const {
        return panels[key_map(map)] + (key - first) * dim;
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
