#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/role.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/kernel/whole_rows.hpp>

/// \file
/// What sparse normalisers have in common: a row as a whole is all that they are.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The normaliser Self, alone on rows and in attention, by Self::whole_row<T>(head), whose rows
/// give dx = g ⊙ (dp − Σg·dp/Σg), g = weight(p).
template <class Self>
class sparse_normaliser : public row_function<Self>, public normaliser_base {
  public:
    /// For row_function.
    template <class T>
    auto forward() const {
        return whole_rows(row<T>());
    }
    template <class T>
    auto gradient() const {
        return weighted_backward_rows(row<T>());
    }

  private:
    template <class T>
    auto row() const {
        return static_cast<const Self&>(*this).template whole_row<T>(0);
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
