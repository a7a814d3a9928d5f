#pragma once

/// \file
/// Every observer: statistics of rows, from inside the kernel.

#include <heed/attention/observers/row_measures.hpp>
