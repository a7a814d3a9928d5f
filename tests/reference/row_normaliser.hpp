#pragma once

#include <functional>

#include "softmax.hpp"

/// \file
/// What a normaliser is to the reference: two functions of a row.

namespace reference {

struct row_normaliser {
    std::function<row(const row& x)> forward;                  ///< p
    std::function<row(const row& x, const row& dp)> backward;  ///< dx
};

}  // namespace reference
